import Glibc

/// Why a replay cannot be done: what is wrong, the reason and the remedy, in one line.
package struct ReplayError: Error, Equatable, CustomStringConvertible {
    /// The line.
    package let description: String

    /// An error with its text.
    package init(_ description: String) {
        self.description = description
    }

    /// A system call that failed on something.
    static func system(_ name: String, _ call: String, _ code: Int32, remedy: String) -> ReplayError
    {
        ReplayError("\(name): \(call) failed: \(text(of: code)); \(remedy)")
    }

    /// The kernel's text for an error number.
    static func text(of code: Int32) -> String {
        strerror(code).map { String(cString: $0) } ?? "error \(code)"
    }
}
