import Foundation
import Glibc
import Testing

/// How a process ended and what it wrote.
struct ProcessResult: Sendable {
    /// `exit 0`, `signal 9`, ...
    let ending: String
    let output: String
    let errors: String

    var succeeded: Bool { ending == "exit 0" }
}

/// Starts a process with a clean slate and waits for it.
///
/// Foundation's `Process` hands on descriptors and the signal mask of the testing thread; a
/// program that prints its descriptor numbers must not see them.
enum ProcessRun {
    /// A program that has not ended by then hangs: the slowest takes some seconds.
    static let hangSeconds = 300

    static func run(
        _ path: String, _ arguments: [String], environment: [String: String] = [:]
    ) throws -> ProcessResult {
        let directory = NSTemporaryDirectory() + "iotrap-run-" + UUID().uuidString
        try FileManager.default.createDirectory(
            atPath: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let output = directory + "/output"
        let errors = directory + "/errors"
        let child = try start(path, arguments, environment, output: output, errors: errors)
        let ending = wait(child)
        return ProcessResult(
            ending: ending, output: try Repository.text(output),
            errors: try Repository.text(errors))
    }

    private static func start(
        _ path: String, _ arguments: [String], _ environment: [String: String],
        output: String, errors: String
    ) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        // Appending, as several processes of one test write to it.
        let flags = O_WRONLY | O_CREAT | O_APPEND
        posix_spawn_file_actions_addopen(&actions, 1, output, flags, 0o600)
        posix_spawn_file_actions_addopen(&actions, 2, errors, flags, 0o600)
        // Closing what is not open is no error here, so this needs no look at what is.
        for descriptor in Int32(3)..<1024 {
            posix_spawn_file_actions_addclose(&actions, descriptor)
        }

        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        var every = sigset_t()
        sigfillset(&every)
        posix_spawnattr_setsigdefault(&attributes, &every)
        // A group of its own: a hanging program is ended with all it started.
        posix_spawnattr_setflags(
            &attributes,
            Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP))

        var variables = [
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C", "HOME": "/nonexistent",
        ]
        variables.merge(environment) { _, new in new }
        let words = ([path] + arguments).map { strdup($0) } + [nil]
        let settings = variables.sorted { $0.key < $1.key }.map { strdup("\($0)=\($1)") } + [nil]
        defer { for pointer in words + settings { free(pointer) } }
        var child: pid_t = 0
        let code = posix_spawn(&child, path, &actions, &attributes, words, settings)
        try #require(code == 0, "\(path): \(String(cString: strerror(code)))")
        return child
    }

    private static func wait(_ child: pid_t) -> String {
        let deadline = ContinuousClock.now + .seconds(hangSeconds)
        var status: Int32 = 0
        var pause: useconds_t = 500
        while true {
            let ended = waitpid(child, &status, WNOHANG)
            if ended == child { break }
            if ContinuousClock.now > deadline {
                kill(-child, SIGKILL)
                waitpid(child, &status, 0)
                return "hung for \(hangSeconds) s and was killed"
            }
            usleep(pause)
            pause = min(pause * 2, 20_000)
        }
        // What it left running would disturb the next one.
        kill(-child, SIGKILL)
        let signal = status & 0x7f
        return signal == 0 ? "exit \((status >> 8) & 0xff)" : "signal \(signal)"
    }
}
