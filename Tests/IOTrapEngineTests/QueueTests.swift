import CIOTrap
import CIOTrapEngine
import Foundation
import Glibc
import Testing

@testable import IOTrapEngine

/// Queues inside the test's own process, where the sanitizers see them.
@Suite(.serialized) struct QueueTests {
    /// A directory on storage, and whether io_uring works.
    private func with(
        _ flags: UInt32, _ test: String = #function, _ body: (String) throws -> Void
    ) throws {
        if flags & IOTRAP_QUEUE_PLAIN == 0 {
            guard let user = QueueUser(flags | IOTRAP_QUEUE_RING, depth: 1) else {
                print("SKIP \(test): io_uring is not available here")
                return
            }
            user.close()
        }
        var template = Array("/var/tmp/iotrap-queue-XXXXXX".utf8CString)
        let directory = String(cString: mkdtemp(&template)!)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        try body(directory)
    }

    @Test(arguments: [0, IOTRAP_QUEUE_UNBOUND, IOTRAP_QUEUE_PLAIN])
    func manyThreads(_ flags: UInt32) throws {
        try with(flags) { directory in
            try QueueStress(directory + "/file", flags).perform()
        }
    }

    @Test(arguments: [0, IOTRAP_QUEUE_PLAIN])
    func wholeFilesInOneOperation(_ flags: UInt32) throws {
        try with(flags) { directory in
            var user = try #require(QueueUser(flags, depth: 32))
            let paths = (0..<200).map { strdup("\(directory)/\($0)") }
            let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: 200 * 64)
            memory.initialize(repeating: 0x5a, count: 200 * 64)
            for kind in [IOTRAP_IO_WRITE_FILE, IOTRAP_IO_READ_FILE] {
                var ended = 0
                for (index, path) in paths.enumerated() {
                    while iotrap_queue_room(user.queue) == 0 { ended += user.wait(1).count }
                    var io = iotrap_io()
                    io.kind = UInt16(kind.rawValue)
                    io.descriptor = AT_FDCWD
                    io.path = UnsafePointer(path)
                    io.buffer = UnsafeMutableRawPointer(memory + index * 64)
                    io.length = 64
                    io.open_flags = UInt32(O_CREAT)
                    io.mode = 0o600
                    user.add(io)
                }
                while ended < paths.count {
                    let taken = user.wait(1)
                    for completion in taken { #expect(completion.result == 64) }
                    ended += taken.count
                }
            }
            user.close()
            for path in paths { free(path) }
            memory.deallocate()
        }
    }

    @Test func handlesAreKnownByTheirGeneration() throws {
        var handles: [OpaquePointer] = []
        for _ in 0..<3000 {
            var batch: OpaquePointer?
            #expect(iotrap_batch_create(1, 0, &batch) == 0)
            let made = try #require(batch)
            #expect(iotrap_batch_count(made) == 0)
            #expect(iotrap_batch_free(made) == 0)
            #expect(iotrap_batch_free(made) == -EBADF)
            handles.append(made)
        }
        // Records are used again, handles are not.
        let addresses = Set(handles.map { UInt(bitPattern: $0) & ~1023 })
        #expect(addresses.count < 200)
        #expect(Set(handles).count == handles.count)
    }

    @Test func textsNameOperationFileReasonAndRemedy() throws {
        try with(IOTRAP_QUEUE_PLAIN) { directory in
            let user = try #require(QueueUser(IOTRAP_QUEUE_PLAIN, depth: 1))
            var file: OpaquePointer?
            try #require(
                iotrap_file_open(directory + "/named", O_RDWR | O_CREAT, 0o600, nil, &file) == 0)
            var io = iotrap_io()
            io.kind = UInt16(IOTRAP_IO_WRITE.rawValue)
            io.file = file
            io.offset = -1
            #expect(iotrap_queue_add(user.queue, &io) == -EINVAL)
            #expect(
                user.error == "write of '\(directory)/named', 0 bytes at -1: the offset is negative"
            )
            io.offset = 0
            user.add(io)
            #expect(iotrap_queue_add(user.queue, &io) == -EAGAIN)
            #expect(user.error.contains("full; take completions"))
            user.close()
            #expect(iotrap_file_close(file) == 0)
        }
    }
}
