import CIOTrap
import Glibc
import IOTrapEngine
import IOTrapStats

/// What of the installation and the settings decides about acceleration.
struct SetupChecks {
    let environment: Environment

    /// The settings of the environment, and what is wrong with them.
    func settings() -> (Configuration, [Finding]) {
        var changed = environment
        do throws(CommandFailure) {
            var settings = Settings()
            let configuration = try settings.apply(to: &changed)
            return (configuration, [Self.finding(about: configuration)])
        } catch {
            return (Configuration(), [Self.failure("settings", error)])
        }
    }

    /// A message of the command ends with the remedy, behind its last semicolon.
    private static func failure(_ subject: String, _ failure: CommandFailure) -> Finding {
        guard let end = failure.message.lastIndex(of: ";") else {
            return .fail(subject, failure.message, remedy: "correct it")
        }
        let remedy = failure.message[end...].dropFirst().drop { $0 == " " }
        return .fail(subject, String(failure.message[..<end]), remedy: String(remedy))
    }

    private static func finding(about configuration: Configuration) -> Finding {
        let mode = Mode(rawValue: Int(configuration.mode)) ?? .off
        if mode == .off || mode == .observe {
            return .fail(
                "settings", "IOTRAP_MODE=\(mode.name): nothing is accelerated",
                remedy: "unset it, or use iotrap run --mode auto")
        }
        if !configuration.usesRing {
            return .fail(
                "settings", "IOTRAP_SET has backend=plain: no ring is used",
                remedy: "take it out")
        }
        return .ok("settings", "mode \(mode.name)")
    }

    /// Both libraries; the first decides, the second is for programs that link it.
    func libraries() -> [Finding] {
        var findings: [Finding] = []
        do throws(CommandFailure) {
            let library = try Library.find()
            findings.append(.ok("library", library.path.text))
            let plain = try Library.candidates(Library.plainName)
            if let path = plain.first(where: Library.exists) {
                findings.append(.ok("library", path.text))
            } else {
                findings.append(
                    .warn(
                        "library", "\(Library.plainName) is missing",
                        remedy: "needed only by programs that link it: install it there"))
            }
        } catch {
            findings.append(Self.failure("library", error))
        }
        return findings
    }

    /// Whether statistics can be kept. Without them the library accelerates all the same.
    func statistics() -> Finding {
        let value = environment["IOTRAP_STATS_DIR"].map(\.text) ?? ""
        let path = value.isEmpty ? SegmentDirectory.standardPath(userID: geteuid()) : value
        do throws(SegmentError) {
            _ = try SegmentDirectory(path: path)
            if access(path, W_OK | X_OK) == 0 { return .ok("statistics", path) }
            return .warn(
                "statistics", "\(path): \(Diagnostics.errorText(errno))",
                remedy: "chmod u+wx it, or set IOTRAP_STATS_DIR")
        } catch {
            guard error.reason == .missing else {
                return .warn(
                    "statistics", "\(error)", remedy: "set IOTRAP_STATS_DIR to another one")
            }
            let parent = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
            if access(parent.isEmpty ? "/" : parent, W_OK | X_OK) == 0 {
                return .ok("statistics", "\(path), made when needed")
            }
            return .warn(
                "statistics", "\(parent): \(Diagnostics.errorText(errno))",
                remedy: "mount /dev/shm writable, or set IOTRAP_STATS_DIR")
        }
    }
}
