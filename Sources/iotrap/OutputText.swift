import Glibc

/// Files that the command writes results to.
enum OutputText {
    /// Replaces a file with a text; `option` names it.
    static func write(
        _ text: String, to path: String, option: String = "--json"
    ) throws(CommandFailure) {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw failure(path, option) }
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            if count <= 0 {
                close(descriptor)
                throw failure(path, option)
            }
            bytes = bytes.dropFirst(count)
        }
        if close(descriptor) != 0 { throw failure(path, option) }
    }

    private static func failure(_ path: String, _ option: String) -> CommandFailure {
        .usage(
            "\(path): cannot be written: \(Diagnostics.errorText(errno)); give another file to "
                + option)
    }
}
