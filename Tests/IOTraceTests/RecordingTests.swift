import CIOTrap
import Foundation
import Testing

@testable import IOTrace

@Suite("Recordings")
struct RecordingTests {
    @Test("Hashes of paths are SipHash-2-4 with 128 bits")
    func siphash() {
        // The key and the first results of the reference implementation.
        let hash = PathHash(key: (0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908))
        let none = hash.hash([])
        #expect(none.0 == 0xe6a8_25ba_047f_81a3 && none.1 == 0x9302_55c7_1472_f66d)
        let fifteen = hash.hash(ArraySlice((0..<15).map { UInt8($0) }))
        #expect(fifteen.0 == 0x11a8_b033_99e9_9354 && fifteen.1 == 0xd9c3_cf97_0fec_087e)
    }

    @Test("Paths keep their directories, and another key gives other hashes")
    func paths() {
        let hash = PathHash(key: (1, 2))
        let first = hash.path(Array("/data/a/x".utf8))
        let second = hash.path(Array("/data/a/y".utf8))
        let other = hash.path(Array("/data/b/x".utf8))
        #expect(first == hash.path(Array("/data/a/x".utf8)))
        let parts = [first, second, other].map { $0.split(separator: "/") }
        #expect(parts.allSatisfy { $0.count == 3 && $0.allSatisfy { $0.count == 32 } })
        #expect(parts[0][..<2] == parts[1][..<2] && parts[0][2] != parts[1][2])
        #expect(parts[0][0] == parts[2][0] && parts[0][2] != parts[2][2])
        #expect(PathHash().path(Array("/data/a/x".utf8)) != first)
        let long = String(repeating: "/a", count: 2000)
        #expect(hash.path(Array(long.utf8)).utf8.count <= 4095)
    }

    @Test("Depth counts what has not ended when a request is submitted")
    func depth() {
        var counter = DepthCounter()
        func submit(_ start: UInt64, _ end: UInt64?) -> UInt32 {
            var event = TraceEvent()
            event.submitNanoseconds = start
            event.latencyNanoseconds = (end ?? start) - start
            event.isComplete = end != nil
            return counter.submit(event)
        }
        #expect([submit(0, 10), submit(1, 30), submit(2, 20), submit(10, 40)] == [1, 2, 3, 3])
        #expect([submit(35, nil), submit(36, 37), submit(50, 51)] == [2, 2, 1])
    }

    @Test("Damaged records are an error, never a trap")
    func damaged() {
        let good: [UInt8] = [
            1, 77, 2, 3, 1, 2, 0xa4, 3, 0xac, 2, 2, 0x2f, 0x61, 3, 3, 0, 20, 6, 0xc8, 1, 0x80, 0x20,
            0, 0xac, 2, 0x80, 0x40, 4, 3, 0, 2, 6, 0, 0x80, 0x20, 0, 9, 0x81, 1, 5, 4, 0x81, 1, 9,
        ]
        var whole = 0
        for position in 0..<good.count {
            for value in UInt8.min...UInt8.max {
                var bytes = good
                bytes[position] = value
                for length in value % 16 == 0 ? Array(0...good.count) : [good.count] {
                    let part = Array(bytes[..<length])
                    part.withUnsafeBytes { payload in
                        var decoder = RecordDecoder(payload, baseNanoseconds: 5)
                        var files = 0
                        do throws(TraceFault) {
                            while try decoder.next({ _, _ in files += 1 }) != nil { whole += 1 }
                        } catch {
                            #expect(!error.reason.text.isEmpty)
                        }
                        #expect(files <= length)
                    }
                }
            }
        }
        #expect(whole > 1000)
    }
}
