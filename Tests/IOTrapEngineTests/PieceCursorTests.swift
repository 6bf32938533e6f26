import Glibc
import Testing

@testable import IOTrapEngine

/// All pieces of a vector of the given element lengths.
private func pieces(_ lengths: [Int], chunk: UInt64, offset: Int64 = 0) -> [Piece] {
    var vector: [iovec] = []
    var base = 0x10000
    for length in lengths {
        vector.append(iovec(iov_base: UnsafeMutableRawPointer(bitPattern: base), iov_len: length))
        base += 0x10_0000
    }
    return vector.withUnsafeBufferPointer { buffer in
        var cursor = PieceCursor(
            iov: buffer.baseAddress!, count: buffer.count, offset: offset,
            limit: Int64(lengths.reduce(0, +)), chunkBytes: chunk)
        var result: [Piece] = []
        while let piece = cursor.next() { result.append(piece) }
        return result
    }
}

@Suite struct PieceCursorTests {
    @Test func cutsAtChunkBorders() {
        let all = pieces([10_000], chunk: 4096, offset: 100)
        #expect(all.map(\.length) == [4096, 4096, 1808])
        #expect(all.map(\.offset) == [100, 4196, 8292])
        #expect(all.map(\.position) == [0, 4096, 8192])
    }

    @Test func cutsAtElementBordersAndSkipsEmptyElements() {
        let all = pieces([0, 100, 0, 0, 50], chunk: 4096)
        #expect(all.map(\.length) == [100, 50])
        #expect(all.map(\.offset) == [0, 100])
        #expect(all[1].address == UnsafeMutableRawPointer(bitPattern: 0x10000 + 4 * 0x10_0000))
    }

    @Test func lengthsBeyondTheSignedRangeDoNotTrap() {
        var element = iovec(iov_base: nil, iov_len: -1)
        withUnsafePointer(to: &element) { vector in
            var cursor = PieceCursor(
                iov: vector, count: 1, offset: 0, limit: 8192, chunkBytes: 4096)
            #expect(cursor.next()?.length == 4096)
            #expect(cursor.next()?.length == 4096)
            #expect(cursor.next() == nil)
        }
    }

    @Test func nothingToCut() {
        #expect(pieces([0, 0], chunk: 4096).isEmpty)
        #expect(pieces([1], chunk: 4096).map(\.length) == [1])
    }

    @Test func coversEveryByteOnceForRandomShapes() {
        var generator = SplitMix(seed: 7)
        for _ in 0..<500 {
            let lengths = (0..<Int.random(in: 1...9, using: &generator)).map { _ in
                Int.random(in: 0...20_000, using: &generator)
            }
            let chunk = UInt64.random(in: 1...9000, using: &generator)
            var next: Int64 = 0
            for piece in pieces(lengths, chunk: chunk, offset: 512) {
                #expect(piece.position == next)
                #expect(piece.offset == 512 + next)
                #expect(UInt64(piece.length) <= chunk && piece.length > 0)
                next += Int64(piece.length)
            }
            #expect(next == Int64(lengths.reduce(0, +)))
        }
    }
}

/// A small repeatable random source, so that a failure can be run again.
struct SplitMix: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}
