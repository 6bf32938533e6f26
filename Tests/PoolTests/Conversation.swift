import Foundation
import Glibc
import Testing

/// A program that answers each line it is told with a line.
final class Conversation {
    let processID: pid_t
    private var input: Int32
    private let output: Int32
    private let errorsPath: String
    private var received: [UInt8] = []
    private var status: Int32?

    /// Far beyond any answer that comes at all.
    private static let hangSeconds = 120.0

    /// Starts a program; what it prints as errors goes to a file.
    init(
        _ words: [String], environment: [String: String], errorsPath: String
    ) throws {
        self.errorsPath = errorsPath
        var toChild: [Int32] = [0, 0]
        var fromChild: [Int32] = [0, 0]
        try #require(pipe(&toChild) == 0)
        try #require(pipe(&fromChild) == 0)
        // A program that had the other end of its own input would never see an end of it.
        for end in toChild + fromChild { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        // A program that is gone must not take the tests with it.
        signal(SIGPIPE, SIG_IGN)
        defer {
            close(toChild[0])
            close(fromChild[1])
        }
        input = toChild[1]
        output = fromChild[0]
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, toChild[0], 0)
        posix_spawn_file_actions_adddup2(&actions, fromChild[1], 1)
        posix_spawn_file_actions_addopen(
            &actions, 2, errorsPath, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        // Closing what is not open is no error here.
        for descriptor in Int32(3)..<256 {
            posix_spawn_file_actions_addclose(&actions, descriptor)
        }
        processID = try Self.spawn(words, environment, &actions)
    }

    deinit {
        closeInput()
        close(output)
    }

    private func closeInput() {
        if input >= 0 { close(input) }
        input = -1
    }

    private static func spawn(
        _ words: [String], _ environment: [String: String],
        _ actions: inout posix_spawn_file_actions_t
    ) throws -> pid_t {
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // Threads that run tests block signals, and a child inherits that.
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        posix_spawnattr_setflags(
            &attributes,
            Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP))
        let arguments = words.map { strdup($0) } + [nil]
        let variables = environment.map { strdup("\($0)=\($1)") } + [nil]
        defer { for pointer in arguments + variables { free(pointer) } }
        var child: pid_t = 0
        let code = posix_spawn(&child, words[0], &actions, &attributes, arguments, variables)
        try #require(code == 0, "\(words[0]): \(String(cString: strerror(code)))")
        return child
    }

    /// Tells the program a line and returns its answer.
    @discardableResult
    func say(_ line: String, at location: SourceLocation = #_sourceLocation) throws -> String {
        try send(line, at: location)
        return try receive(line, at: location)
    }

    /// Tells it a line whose answer is awaited later.
    func send(_ line: String, at location: SourceLocation = #_sourceLocation) throws {
        let bytes = Array((line + "\n").utf8)
        try #require(
            write(input, bytes, bytes.count) == bytes.count,
            "'\(line)' could not be said; \(errors)", sourceLocation: location)
    }

    /// The next line that it prints.
    func receive(
        _ line: String = "", at location: SourceLocation = #_sourceLocation
    ) throws -> String {
        let deadline = Date(timeIntervalSinceNow: Self.hangSeconds)
        while true {
            if let end = received.firstIndex(of: 10) {
                let answer = String(decoding: received[..<end], as: UTF8.self)
                received.removeSubrange(...end)
                return answer
            }
            var wanted = pollfd(fd: output, events: Int16(POLLIN), revents: 0)
            let ready = poll(&wanted, 1, 1000)
            try #require(
                ready != 0 || Date() < deadline, "no answer to '\(line)'; \(errors)",
                sourceLocation: location)
            guard ready > 0 else { continue }
            var buffer = [UInt8](repeating: 0, count: 4096)
            let count = read(output, &buffer, buffer.count)
            try #require(
                count > 0, "the program ended at '\(line)': \(ending()); \(errors)",
                sourceLocation: location)
            received += buffer[..<count]
        }
    }

    /// What it printed as errors.
    var errors: String {
        (try? String(contentsOfFile: errorsPath, encoding: .utf8)) ?? ""
    }

    /// Closes its input and waits for its end.
    func finish() -> String {
        closeInput()
        return ending()
    }

    /// Ends it, whatever it does.
    func kill() {
        guard status == nil else { return }
        Glibc.kill(-processID, SIGKILL)
        _ = ending()
    }

    private func ending() -> String {
        if status == nil {
            var value: Int32 = 0
            while waitpid(processID, &value, 0) < 0 && errno == EINTR {}
            status = value
        }
        let value = status ?? 0
        let signal = value & 0x7f
        return signal == 0 ? "exit \((value >> 8) & 0xff)" : "signal \(signal)"
    }
}
