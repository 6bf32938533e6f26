/// Exit statuses of the command's own; `run` otherwise ends as the program does.
enum ExitStatus {
    static let success: Int32 = 0
    /// Nothing to show, or (doctor) no acceleration.
    static let nothing: Int32 = 1
    /// A wrong option, setting or target: nothing was started.
    static let usage: Int32 = 2
    /// Interrupted; what there was is shown.
    static let interrupted: Int32 = 130
    /// The program was found and cannot be executed, as in env(1).
    static let cannotExecute: Int32 = 126
    /// The program was not found, as in env(1).
    static let notFound: Int32 = 127
}

/// Why the command ends without having done its work: one line and an exit status.
struct CommandFailure: Error {
    let message: String
    let status: Int32

    /// A wrong option, setting or target.
    static func usage(_ message: String) -> CommandFailure {
        CommandFailure(message: message, status: ExitStatus.usage)
    }
}
