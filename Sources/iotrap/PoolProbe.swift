import Glibc

/// Questions about a mount that may never answer. Each is asked by a process of its own: one that
/// waits for a dead mount cannot be ended, and would hold up the end of this one if it were a
/// thread of it.
struct PoolProbe {
    /// The argument with which this command asks.
    static let argument = "--pool-probe"

    /// What came back.
    enum Answer: Equatable {
        /// Lines of words.
        case lines([[String]])
        /// A call failed.
        case failed(call: String, errno: Int32)
        /// Nothing within the bound.
        case silent

        /// The words behind the first one of the line that begins with it.
        func words(_ name: String) -> [String]? {
            guard case .lines(let lines) = self else { return nil }
            return lines.first { $0.first == name }.map { Array($0.dropFirst()) }
        }

        /// All lines that begin with a word, without it.
        func all(_ name: String) -> [[String]] {
            guard case .lines(let lines) = self else { return [] }
            return lines.filter { $0.first == name }.map { Array($0.dropFirst()) }
        }

        /// The number behind a word.
        func number(_ name: String) -> UInt64? { words(name)?.first.flatMap { UInt64($0) } }
    }

    private let processID: pid_t
    private var descriptor: Int32
    private var text: [UInt8] = []

    /// Asks all questions at once and waits for the answers, in the order of the questions.
    ///
    /// - Parameters:
    ///   - questions: the arguments of one `PoolProbeActions` each.
    ///   - seconds: how long all of them have together.
    static func ask(_ questions: [[ByteString]], within seconds: Double) -> [Answer] {
        var probes = questions.map { PoolProbe($0) }
        let start = now()
        while probes.contains(where: { $0?.isOpen == true }) {
            let left = seconds - Double(now() - start) / 1e9
            if left <= 0 { break }
            var polled: [pollfd] = probes.map {
                pollfd(fd: $0?.descriptor ?? -1, events: Int16(POLLIN), revents: 0)
            }
            if poll(&polled, nfds_t(polled.count), Int32(left * 1000) + 1) < 0 && errno != EINTR {
                break
            }
            for index in probes.indices where polled[index].revents != 0 {
                probes[index]?.readMore()
            }
        }
        return probes.indices.map { probes[$0]?.finish() ?? .failed(call: "start", errno: EAGAIN) }
    }

    private init?(_ words: [ByteString]) {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { return nil }
        // Probes are started one after the other by one thread: none inherits another's.
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        // Nothing of this process: who waits for the end of its output waits for no probe.
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, ends[1], 1)
        posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
        var child: pid_t = 0
        let arguments = [ByteString("iotrap"), ByteString(Self.argument)] + words
        let code = withCStringArray(arguments) { arguments in
            // No environment: the library is not to be loaded there.
            withCStringArray([]) { nothing in
                posix_spawn(&child, "/proc/self/exe", &actions, nil, arguments, nothing)
            }
        }
        close(ends[1])
        guard code == 0 else {
            close(ends[0])
            return nil
        }
        processID = child
        descriptor = ends[0]
    }

    private var isOpen: Bool { descriptor >= 0 }

    private mutating func readMore() {
        var block = [UInt8](repeating: 0, count: 4096)
        let count = read(descriptor, &block, block.count)
        if count > 0 { text += block[..<count] }
        // An answer is whole before its process has ended: that may wait for the mount as well.
        if count == 0 || text.suffix(4) == Array("end\n".utf8)[...] {
            close(descriptor)
            descriptor = -1
        }
    }

    private mutating func finish() -> Answer {
        if isOpen { close(descriptor) }
        descriptor = -1
        kill(processID, SIGKILL)
        var status: Int32 = 0
        // It may be beyond reach: whoever comes after this process takes care of it.
        waitpid(processID, &status, WNOHANG)
        let lines = String(decoding: text, as: UTF8.self).split(separator: "\n").map {
            $0.split(separator: " ").map(String.init)
        }
        guard lines.last == ["end"] else { return .silent }
        if let failure = lines.first(where: { $0.first == "failed" }), failure.count == 3,
            let code = Int32(failure[2])
        {
            return .failed(call: failure[1], errno: code)
        }
        return .lines(lines.dropLast())
    }

    /// The monotonic clock, in nanoseconds.
    static func now() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}

/// Bytes as text without blanks, for names in questions and answers.
enum Hexadecimal {
    static func text(_ bytes: some Sequence<UInt8>) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    static func bytes(_ text: String) -> [UInt8] {
        let digits = Array(text.utf8)
        return stride(from: 0, to: digits.count - 1, by: 2).compactMap {
            UInt8(String(decoding: digits[$0...($0 + 1)], as: UTF8.self), radix: 16)
        }
    }
}
