import Foundation
import Testing

@testable import IOTrace

/// A mutation fuzzer with a seed: IOTRAP_FUZZ_SEED repeats a run, IOTRAP_FUZZ_ROUNDS makes it
/// longer. What once failed is kept in data/corpus and read first.
@Suite("Fuzzing")
struct FuzzTests {
    private let scratch: Scratch
    private let seed: UInt64
    private let rounds: Int

    init() throws {
        scratch = try Scratch()
        let environment = ProcessInfo.processInfo.environment
        seed = environment["IOTRAP_FUZZ_SEED"].flatMap { UInt64($0) } ?? 1
        rounds = environment["IOTRAP_FUZZ_ROUNDS"].flatMap { Int($0) } ?? 300
    }

    /// The files of the corpus, traces or texts.
    private static func corpus(_ suffix: String) throws -> [[UInt8]] {
        let names = try names(in: dataDirectory + "/corpus").filter { $0.hasSuffix(suffix) }
        return try names.map { try content(dataDirectory + "/corpus/" + $0) }
    }

    @Test("The corpus is read without a crash")
    func corpusIsRead() throws {
        let traces = try Self.corpus(".trace")
        #expect(traces.count >= 5)
        for bytes in traces { try readTrace(bytes) }
        for (suffix, format) in Self.texts {
            let inputs = try Self.corpus(suffix)
            #expect(!inputs.isEmpty)
            for bytes in inputs { try readText(bytes, format) }
        }
    }

    private static let texts: [(String, ImportFormat)] = [
        (".strace", .strace), (".blkparse", .blkparse), (".iolog2", .iolog2), (".iolog3", .iolog3),
    ]

    @Test("Traces that were changed at random, with right checksums, do no harm")
    func traces() throws {
        var random = SystemLikeGenerator(state: seed)
        let corpus = try Self.corpus(".trace")
        print("fuzzing traces: IOTRAP_FUZZ_SEED=\(seed) IOTRAP_FUZZ_ROUNDS=\(rounds)")
        for _ in 0..<rounds {
            var bytes = corpus[Int(random.next(below: UInt64(corpus.count)))]
            mutate(&bytes, &random)
            if random.next(below: 8) != 0 { Self.mendChecksums(&bytes) }
            try readTrace(bytes)
        }
    }

    @Test("Logs that were changed at random do no harm")
    func logs() throws {
        var random = SystemLikeGenerator(state: seed ^ 0xabcdef)
        for (suffix, format) in Self.texts {
            let corpus = try Self.corpus(suffix)
            for _ in 0..<(rounds / 4) {
                var bytes = corpus[Int(random.next(below: UInt64(corpus.count)))]
                mutate(&bytes, &random)
                try readText(bytes, format)
            }
        }
    }

    /// Reads a trace as far as it goes; what was read must hold what a reader promises.
    private func readTrace(_ bytes: [UInt8]) throws {
        let path = try scratch.file("t", bytes)
        do throws(TraceError) {
            var reader = try TraceReader(path: path)
            while let event = try reader.next() {
                let limit = UInt64(Int64.max)
                let isSound =
                    event.offset <= limit && event.length <= limit - event.offset
                    && event.submitNanoseconds <= limit && event.completeNanoseconds <= limit
                    && UInt64(event.after) <= event.index && UInt64(event.after2) <= event.index
                    && (event.file == TraceEvent.noFile || reader.file(event.file) != nil)
                if !isSound { Issue.record("\(event) of \(bytes)") }
            }
        } catch {
            #expect(error.offset <= UInt64(bytes.count))
            #expect(!error.description.isEmpty)
        }
    }

    /// Imports a log; what comes out must be a trace.
    private func readText(_ bytes: [UInt8], _ format: ImportFormat) throws {
        let path = try scratch.file("in", bytes)
        do throws(TraceError) {
            _ = try TraceImport.convert(path, from: format, output: scratch("o"), replaces: true)
        } catch {
            guard case .line = error.reason else {
                Issue.record("\(error) of \(bytes)")
                return
            }
            return
        }
        #expect(failure(of: scratch("o")) == nil)
    }

    /// Changes, removes, repeats and inserts bytes.
    private func mutate(_ bytes: inout [UInt8], _ random: inout SystemLikeGenerator) {
        let interesting: [UInt8] = [0, 1, 0x7f, 0x80, 0xff, 0x2e, 0x2f, 0x20, 0x0a]
        for _ in 0...random.next(below: 6) where !bytes.isEmpty {
            let place = Int(random.next(below: UInt64(bytes.count)))
            let span = min(Int(random.next(below: 12)) + 1, bytes.count - place)
            switch random.next(below: 6) {
            case 0: bytes[place] ^= 1 << UInt8(random.next(below: 8))
            case 1: bytes[place] = interesting[Int(random.next(below: 9))]
            case 2: bytes[place] = UInt8(random.next(below: 256))
            case 3: bytes.removeSubrange(place..<(place + span))
            case 4: bytes.insert(contentsOf: bytes[place..<(place + span)], at: place)
            default: for index in place..<(place + span) { bytes[index] = 0xff }
            }
        }
    }

    /// Makes the checksums right, as far as chunks can be followed: what is behind them is tested.
    private static func mendChecksums(_ bytes: inout [UInt8]) {
        mend(&bytes, 0..<60)
        var offset = TraceHeader.byteCount
        while offset + ChunkHeader.byteCount <= bytes.count {
            let stored = (8..<12).reduce(0) { $0 | Int(bytes[offset + $1]) << (8 * ($1 - 8)) }
            let start = offset + ChunkHeader.byteCount
            let end = min(start + stored, bytes.count)
            let checksum = bytes[start..<end].withUnsafeBytes { CRC32C.checksum($0) }
            for byte in 0..<4 {
                bytes[offset + 40 + byte] = UInt8(
                    truncatingIfNeeded: checksum >> (8 * UInt32(byte)))
            }
            mend(&bytes, offset..<(offset + 44))
            offset = end
        }
    }

    private static func mend(_ bytes: inout [UInt8], _ range: Range<Int>) {
        guard range.upperBound + 4 <= bytes.count else { return }
        let checksum = bytes[range].withUnsafeBytes { CRC32C.checksum($0) }
        for byte in 0..<4 {
            bytes[range.upperBound + byte] = UInt8(
                truncatingIfNeeded: checksum >> (8 * UInt32(byte)))
        }
    }
}
