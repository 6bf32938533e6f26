import Glibc
import IOTrapStats

/// How fast a large file is read through one path, and through all of them.
struct PoolRate {
    let pool: String
    let seconds: Double
    let paths: [PoolChecks.Path]

    private static let bytesMin: Int64 = 64 << 20
    private static let rounds = 3
    private static let milliseconds = 500

    /// Bytes and nanoseconds.
    private struct Sum {
        var rate = 0.0
        var rounds = 0

        var mean: Double { rounds > 0 ? rate / Double(rounds) : 0 }
    }

    func finding() -> Finding {
        let largest = PoolProbe.ask([["list", paths[0].path]], within: seconds)[0].words("largest")
        if let largest, largest.count == 2, let size = Int64(largest[1]), size >= Self.bytesMin {
            return measured(ByteString(Hexadecimal.bytes(largest[0])), size)
        }
        for path in paths where path.canWrite {
            let name = ByteString(
                ".iotrap-\(getpid())-\(String(UInt64.random(in: 0...UInt64.max), radix: 16))")
            let file = path.path + "/" + name
            let make = [
                "make", file, ByteString(String(Self.bytesMin)), "00",
            ]
            // A slow link needs its time for so much.
            let made = PoolProbe.ask([make], within: max(60, seconds))[0]
            defer { _ = PoolProbe.ask([["remove", file]], within: seconds) }
            if made.words("inode") != nil { return measured(name, Self.bytesMin) }
        }
        return .warn(
            "rate", "\(pool): not measured: no file of 64 MiB or more, and none could be made",
            remedy: "put one there")
    }

    /// Rounds of one path and of all in turn, so that both see the same weather.
    private func measured(_ name: ByteString, _ size: Int64) -> Finding {
        // As many requests in flight either way: the gain is that of the paths alone.
        let readers = max(1, min(4, 64 / paths.count))
        var alone = Sum()
        var together = Sum()
        var each = [Double](repeating: 0, count: paths.count)
        for _ in 0..<Self.rounds {
            guard
                let one = read([Int](repeating: 0, count: readers * paths.count), name, size),
                let all = read(
                    paths.indices.flatMap { [$0, $0, $0, $0].prefix(readers) }, name, size)
            else {
                return .warn(
                    "rate", "\(pool): not measured: a read with O_DIRECT failed or did not end",
                    remedy: "check that the file system has O_DIRECT, and the path its server")
            }
            alone.rate += one.reduce(0, +)
            alone.rounds += 1
            together.rate += all.reduce(0, +)
            together.rounds += 1
            for index in each.indices { each[index] += all[index] / Double(Self.rounds) }
        }
        return finding(alone.mean, together.mean, each)
    }

    private func finding(_ alone: Double, _ together: Double, _ each: [Double]) -> Finding {
        let ratio = alone > 0 ? together / alone : 0
        let hundredths = Int((ratio * 100).rounded())
        let rest = hundredths % 100
        let text =
            "\(pool): \(paths[0].path.text) alone \(Self.text(alone)), all \(paths.count) together "
            + "\(Self.text(together)) MiB/s: \(hundredths / 100).\(rest < 10 ? "0" : "")\(rest)x ("
            + each.map(Self.text).joined(separator: " + ") + ")"
        if ratio >= 1.2 { return .ok("rate", text) }
        return .warn(
            "rate", text,
            remedy: "the paths share what limits them: a pool gains nothing for reads here")
    }

    private static func text(_ rate: Double) -> String {
        let tenths = Int((rate * 10).rounded())
        return tenths >= 1000 ? "\((tenths + 5) / 10)" : "\(tenths / 10).\(tenths % 10)"
    }

    /// Reads with one reader for each element, a path's index. MiB/s by path; nil when one failed.
    private func read(_ readers: [Int], _ name: ByteString, _ size: Int64) -> [Double]? {
        let answers = PoolProbe.ask(
            readers.enumerated().map { index, path in
                [
                    "read", paths[path].path + "/" + name,
                    ByteString(String(Int64(index) * size / Int64(readers.count))),
                    ByteString(String(size)), ByteString(String(Self.milliseconds)),
                ]
            }, within: Double(Self.milliseconds) / 1000 + max(10, seconds))
        var rates = [Double](repeating: 0, count: paths.count)
        for (path, answer) in zip(readers, answers) {
            guard let bytes = answer.number("bytes"), let time = answer.number("nanoseconds") else {
                return nil
            }
            rates[path] += Double(bytes) / Double(max(1, time)) * 1e9 / Double(1 << 20)
        }
        return rates
    }
}
