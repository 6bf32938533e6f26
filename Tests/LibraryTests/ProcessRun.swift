import Foundation
import Glibc
import Testing

/// How a process ended and what it wrote.
struct ProcessResult: Sendable {
    /// `exit 0`, `signal 9`, ...
    let ending: String
    let output: String

    var succeeded: Bool { ending == "exit 0" }
}

/// Starts a process with signals and descriptors as a shell would, and waits for it.
enum ProcessRun {
    static func run(
        _ path: String, _ arguments: [String], environment: [String: String] = [:]
    ) throws -> ProcessResult {
        let output = NSTemporaryDirectory() + "iotrap-library-" + UUID().uuidString
        defer { try? FileManager.default.removeItem(atPath: output) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
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
        posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
        var variables = [
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C", "HOME": "/nonexistent",
        ]
        variables.merge(environment) { _, new in new }
        let words = ([path] + arguments).map { strdup($0) } + [nil]
        let settings = variables.map { strdup("\($0)=\($1)") } + [nil]
        defer { for pointer in words + settings { free(pointer) } }
        var child: pid_t = 0
        let code = posix_spawn(&child, path, &actions, &attributes, words, settings)
        try #require(code == 0, "\(path): \(String(cString: strerror(code)))")
        var status: Int32 = 0
        while waitpid(child, &status, 0) < 0 && errno == EINTR {}
        let signal = status & 0x7f
        return ProcessResult(
            ending: signal == 0 ? "exit \((status >> 8) & 0xff)" : "signal \(signal)",
            output: try Repository.text(output))
    }
}
