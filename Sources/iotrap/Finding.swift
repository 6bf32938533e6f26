/// One line of `iotrap doctor`.
struct Finding: Equatable {
    enum Level: String {
        case ok
        /// Works, but not as well as it could.
        case warn
        /// Keeps the library from accelerating anything.
        case fail
    }

    let level: Level
    /// What was looked at.
    let subject: String
    let detail: String
    /// What to do; nil where nothing needs doing.
    let remedy: String?

    static func ok(_ subject: String, _ detail: String) -> Finding {
        Finding(level: .ok, subject: subject, detail: detail, remedy: nil)
    }

    static func warn(_ subject: String, _ detail: String, remedy: String) -> Finding {
        Finding(level: .warn, subject: subject, detail: detail, remedy: remedy)
    }

    static func fail(_ subject: String, _ detail: String, remedy: String) -> Finding {
        Finding(level: .fail, subject: subject, detail: detail, remedy: remedy)
    }
}
