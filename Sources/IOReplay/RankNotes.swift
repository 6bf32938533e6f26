import Glibc
import IOTrapStats

/// What ranks write to each other: small files of lines of numbers, behind their checksum, so that
/// one that is just being rewritten is not believed.
enum RankNotes {
    /// Rank 0's.
    struct Start: Equatable {
        /// Of rank 0, which is waiting for answers to it.
        var call: UInt64 = 0
        /// When the ranks begin whose answers were seen, in nanoseconds since 1970; 0: never.
        var begin: UInt64 = 0
        /// Their numbers.
        var answers: [UInt64] = []
    }

    /// Another rank's.
    struct Answer: Equatable {
        /// The call that it answers.
        var call: UInt64
        /// A number by which it is named.
        var own: UInt64
        /// What it is about to replay.
        var digest: UInt64
    }

    /// Writes a note in the place of an older one.
    static func write(_ numbers: [UInt64], to path: String) throws(ReplayError) {
        let remedy = "give --results a directory that all ranks can write to"
        let descriptor = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0o666)
        if descriptor < 0 { throw .system(path, "open", errno, remedy: remedy) }
        defer { close(descriptor) }
        let text = ([checksum(numbers)] + numbers).map { "\($0)\n" }.joined() + "end\n"
        let count = text.utf8.count
        if pwrite(descriptor, text, count, 0) != count
            || ftruncate(descriptor, off_t(count)) != 0 || fsync(descriptor) != 0
        {
            throw .system(path, "write", errno, remedy: remedy)
        }
    }

    /// The numbers of a note; nil if there is none, or none that is whole.
    static func read(_ path: String) -> [UInt64]? {
        // A note of as many ranks as there can be.
        guard let bytes = smallFile(path, limit: 1 << 17) else { return nil }
        let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n")
        guard let end = lines.firstIndex(of: "end") else { return nil }
        let numbers = lines[..<end].compactMap { UInt64($0) }
        guard numbers.count == end, let sum = numbers.first else { return nil }
        let rest = Array(numbers.dropFirst())
        return checksum(rest) == sum ? rest : nil
    }

    private static func checksum(_ numbers: [UInt64]) -> UInt64 {
        var sum = FNVSum()
        for number in numbers { sum.add(number) }
        return sum.value
    }
}

extension RankNotes.Start {
    init?(at path: String) {
        guard let numbers = RankNotes.read(path), numbers.count >= 2 else { return nil }
        call = numbers[0]
        begin = numbers[1]
        answers = Array(numbers.dropFirst(2))
    }

    var lines: [UInt64] { [call, begin] + answers }
}

extension RankNotes.Answer {
    init?(at path: String) {
        guard let numbers = RankNotes.read(path), numbers.count == 3 else { return nil }
        call = numbers[0]
        own = numbers[1]
        digest = numbers[2]
    }

    var lines: [UInt64] { [call, own, digest] }
}
