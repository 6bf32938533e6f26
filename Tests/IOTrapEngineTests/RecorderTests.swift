import CIOTrap
import CIOTrapEngine
import Foundation
import Testing

@testable import IOTrapEngine

@Suite("Recorder")
struct RecorderTests {
    /// A window of its own for each test, and the path that a test writes.
    private final class Place {
        let window = UnsafeMutablePointer<iotrap_recording_window>.allocate(capacity: 1)

        init(owner: UInt32 = 77) {
            memset(window, 0, MemoryLayout<iotrap_recording_window>.size)
            window.pointee.owner = owner
        }

        deinit { window.deallocate() }

        var bytes: [UInt8] {
            Array(
                UnsafeBufferPointer(
                    start: iotrap_window_bytes(window), count: Int(window.pointee.used)))
        }

        func put(_ record: iotrap_recorded) {
            var record = record
            RecordEncoder.put(&record, in: window, startedNanoseconds: 1000)
        }
    }

    private func event(at time: UInt64, offset: UInt64 = 0) -> iotrap_recorded {
        var record = iotrap_recorded()
        record.kind = UInt8(IOTRAP_RECORD_EVENT.rawValue)
        record.call = 3
        record.operation = 0
        record.submit_ns = time
        record.complete_ns = time + 300
        record.offset = offset
        record.length = 4096
        record.result = 4096
        record.file = IOTRAP_RECORDED_FIRST + 5
        return record
    }

    @Test("Records are the bytes that the layout says")
    func layout() {
        let place = Place()
        place.put(event(at: 1010, offset: 200))
        // Thread 77; an event: call, operation, time 10, file 5 + 1, offset, length, flags,
        // latency, result.
        let first: [UInt8] = [
            1, 77, 3, 3, 0, 20, 6, 0xc8, 1, 0x80, 0x20, 0, 0xac, 2, 0x80, 0x40,
        ]
        #expect(place.bytes == first)
        // Back in time, and the thread is known.
        place.put(event(at: 1007))
        #expect(
            place.bytes.dropFirst(first.count)
                == [3, 3, 0, 5, 6, 0, 0x80, 0x20, 0, 0xac, 2, 0x80, 0x40])
        #expect(place.window.pointee.record_count == 3)
        #expect(place.window.pointee.last_ns == 7)
    }

    @Test("Requests and their ends")
    func requests() {
        let place = Place()
        place.window.pointee.thread = 77
        var submit = event(at: 1001)
        submit.kind = UInt8(IOTRAP_RECORD_SUBMIT.rawValue)
        submit.key = 0x81
        submit.batch = 9
        place.put(submit)
        var done = iotrap_recorded()
        done.kind = UInt8(IOTRAP_RECORD_DONE.rawValue)
        done.complete_ns = 1003
        done.key = 0x81
        done.result = -5
        place.put(done)
        #expect(
            place.bytes
                == [4, 3, 0, 2, 6, 0, 0x80, 0x20, 0, 9, 0x81, 1] + [5, 4, 0x81, 1, 9])
    }

    @Test("No record is longer than what is kept free for it")
    func longest() {
        let place = Place(owner: .max)
        var record = event(at: .max / 2, offset: .max)
        record.length = .max
        record.flags = .max
        record.result = .min
        record.file = 0x3fff_ffff
        record.complete_ns = .max
        for kind in [IOTRAP_RECORD_EVENT, IOTRAP_RECORD_SUBMIT, IOTRAP_RECORD_DONE] {
            let before = place.window.pointee.used
            place.window.pointee.thread = 0
            record.kind = UInt8(kind.rawValue)
            record.key = .max
            record.batch = .max
            place.put(record)
            #expect(place.window.pointee.used - before <= IOTRAP_RECORD_BYTES_MAX)
        }
    }

    @Test("A path that comes to its place by itself becomes the name of a file")
    func names() {
        let place = Place()
        let path = Array("/a/file".utf8)
        var facts = iotrap_file_facts()
        facts.size = 300
        facts.mode = 0o100644
        facts.status_flags = 2
        for length in [path.count, RecordEncoder.pathBytesMax] {
            let long = (0..<length).map { path[$0 % path.count] }
            let before = place.bytes.count
            let target = RecordEncoder.pathPlace(in: place.window)
            for index in 0..<length { target[index] = long[index] }
            RecordEncoder.putFile(3, facts, isSized: true, pathBytes: length, in: place.window)
            let record = Array(place.bytes.dropFirst(before))
            #expect(record.starts(with: [2, 3, 1, 2, 0xa4, 3, 0xac, 2]))
            #expect(Array(record.suffix(length)) == long)
        }
    }

    @Test(
        "Patterns",
        arguments: [
            ("/data/a.db", "*.db", true), ("/data/a.db", "a.db", true),
            ("/data/a.db", "b.db", false), ("/data/a.db", "data/*", false),
            ("/data/a.db", "/data/*", true), ("/data/x/a.db", "/data/*.db", true),
            ("/data/a.db", "/data/?.db", true), ("/data/ab.db", "/data/?.db", false),
            ("/data/a.db", "[a-c].db", true), ("/data/d.db", "[a-c].db", false),
            ("/data/d.db", "[!a-c].db", true), ("/data/].db", "[]x].db", true),
            ("/data/[.db", "[.db", true), ("/data/a*b", "a\\*b", true),
            ("/data/axb", "a\\*b", false),
            ("/data/a.db-wal", "*.db", false), ("/aaaaaaaaaaaaab", "*a*a*a*a*b", true),
            ("/aaaaaaaaaaaaac", "*a*a*a*a*b", false), ("/x/", "*", true),
        ])
    func patterns(path: String, pattern: String, isMatch: Bool) {
        let path = Array(path.utf8)
        let pattern = Array(pattern.utf8)
        path.withUnsafeBufferPointer { path in
            pattern.withUnsafeBufferPointer { pattern in
                #expect(RecordFilter.matches(path, pattern: pattern) == isMatch)
            }
        }
    }

    @Test("Checksums are those of traces", arguments: [0, 1, 7, 8, 9, 65000])
    func checksum(count: Int) {
        let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ 7) }
        var crc = UInt32.max
        for byte in bytes {
            crc ^= UInt32(byte)
            for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0x82f6_3b78 : crc >> 1 }
        }
        #expect(
            bytes.withUnsafeBytes {
                iotrap_checksum($0.baseAddress ?? UnsafeRawPointer(bitPattern: 8)!, count)
            } == ~crc)
    }

    @Test("A part that cannot be written leaves nothing behind, and is not opened through a link")
    func parts() throws {
        let folder = FileManager.default.temporaryDirectory.path + "/iotrap-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let path = folder + "/part"
        let header: [UInt8] = [1, 2, 3]
        let payload: [UInt8] = [4, 5]
        #expect(iotrap_write_part(path, 1, 0, header, 3, payload, 2) == 0)
        #expect(iotrap_write_part(path, 1, 0, header, 3, payload, 2) == -EEXIST)
        #expect(iotrap_write_part(path, 0, 5, header, 3, payload, 2) == 0)
        let content = try Data(contentsOf: URL(fileURLWithPath: path))
        #expect(Array(content) == header + payload + header + payload)
        var status = stat()
        #expect(stat(path, &status) == 0 && status.st_mode & 0o7777 == 0o600)
        #expect(iotrap_write_part(folder + "/none", 0, 5, header, 3, payload, 2) == -ENOENT)
        symlink(path, folder + "/link")
        #expect(iotrap_write_part(folder + "/link", 0, 0, header, 3, payload, 2) == -ELOOP)
        #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == content)
    }
}
