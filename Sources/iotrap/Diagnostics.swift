import Glibc
import IOTrapStats

/// What the command prints about itself.
enum Diagnostics {
    /// One line on the standard error output, named after the command.
    static func complain(_ message: String) {
        // Names in messages come from anywhere; a terminal must not act on them.
        write("iotrap: \(printable(message))\n", to: STDERR_FILENO)
    }

    /// Writes text to a descriptor. Failures are ignored: there is nobody left to tell.
    static func write(_ text: String, to descriptor: Int32) {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let written = bytes.withUnsafeBytes {
                Glibc.write(descriptor, $0.baseAddress, $0.count)
            }
            if written < 0 && errno == EINTR { continue }
            if written <= 0 { return }
            bytes = bytes.dropFirst(written)
        }
    }

    /// The kernel's text for an error number.
    static func errorText(_ code: Int32) -> String {
        strerror(code).map { String(cString: $0) } ?? "error \(code)"
    }
}
