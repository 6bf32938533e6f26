import Glibc

/// The kernel's text for an error number, with the number's name left to `strerror`.
func errorText(_ code: Int32) -> String {
    guard let text = strerror(code) else { return "error \(code)" }
    return String(cString: text)
}

/// Text from a file or a process, with what a terminal would act on made visible.
///
/// Control characters (C0, DEL, C1) become `\xNN`; bytes that are no UTF-8 were already replaced
/// when the string was made.
public func printable(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
        if scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value) {
            let hex = String(scalar.value, radix: 16)
            result += "\\x" + (hex.utf8.count < 2 ? "0" : "") + hex
        } else {
            result.unicodeScalars.append(scalar)
        }
    }
    return result
}

/// The content of a small file such as those of /proc, at most `limit` bytes; nil when unreadable.
public func smallFile(_ path: String, limit: Int = 1 << 20) -> [UInt8]? {
    let flags = O_RDONLY | O_NOCTTY | O_NONBLOCK
    guard let descriptor = try? OwnedDescriptor(opening: path, flags: flags) else { return nil }
    var content: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 4096)
    while content.count < limit {
        let length = Glibc.read(
            descriptor.number, &chunk, min(chunk.count, limit - content.count))
        if length < 0 && errno == EINTR { continue }
        if length < 0 { return nil }
        if length == 0 { break }
        content += chunk[..<length]
    }
    return content
}
