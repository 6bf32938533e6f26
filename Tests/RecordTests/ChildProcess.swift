import Foundation
import Glibc
import Testing

/// A process under test.
///
/// Not Foundation's `Process`: that one leaves a socket open in the child, which these tests would
/// see, and waits until every process that inherited it has ended. It also passes on the signal
/// mask of whatever thread the test runs on.
final class ChildProcess {
    let processID: pid_t
    private let outputPath: String
    private let errorsPath: String

    /// Starts a program with its output going to files: a full pipe would hold it up.
    init(
        _ program: String, _ arguments: [String], environment: [String: String],
        directory: String, outputPath: String, errorsPath: String
    ) throws {
        self.outputPath = outputPath
        self.errorsPath = errorsPath
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        let flags = O_WRONLY | O_CREAT | O_TRUNC
        posix_spawn_file_actions_addopen(&actions, 1, outputPath, flags, 0o600)
        posix_spawn_file_actions_addopen(&actions, 2, errorsPath, flags, 0o600)
        for name in try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd") {
            // What is closed meanwhile does no harm: posix_spawn passes over it.
            if let descriptor = Int32(name), descriptor > 2 {
                posix_spawn_file_actions_addclose(&actions, descriptor)
            }
        }

        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var noSignals = sigset_t()
        sigemptyset(&noSignals)
        posix_spawnattr_setsigmask(&attributes, &noSignals)
        var allSignals = sigset_t()
        sigfillset(&allSignals)
        posix_spawnattr_setsigdefault(&attributes, &allSignals)
        posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))

        // env becomes the program, in another directory.
        let words = (["env", "-C", directory, program] + arguments).map { strdup($0) } + [nil]
        let variables = environment.map { strdup("\($0)=\($1)") } + [nil]
        defer { for pointer in words + variables { free(pointer) } }
        var child: pid_t = 0
        let code = posix_spawn(&child, "/usr/bin/env", &actions, &attributes, words, variables)
        try #require(code == 0, "\(program): \(String(cString: strerror(code)))")
        processID = child
    }

    /// What it has printed so far.
    var output: String { get throws { try text(outputPath) } }

    /// Waits for its end.
    func wait() throws -> Outcome {
        var status: Int32 = 0
        while waitpid(processID, &status, 0) < 0 { try #require(errno == EINTR) }
        let signal = status & 0x7f
        return Outcome(
            status: signal == 0 ? (status >> 8) & 0xff : 128 + signal,
            output: try text(outputPath), errors: try text(errorsPath))
    }

    private func text(_ path: String) throws -> String {
        String(decoding: try Data(contentsOf: URL(fileURLWithPath: path)), as: UTF8.self)
    }
}
