import CIOTrap
import CIOTrapEngine
import Glibc
import Testing

@testable import IOTrapEngine

/// One way to open a scratch file, and what the engine knows of it afterwards.
private final class Opened {
    let fd: Int32

    init(_ flags: Int32) {
        var name = Array("/tmp/iotrap-eligible-XXXXXX".utf8CString)
        close(mkstemp(&name))
        fd = open(name, flags)
        unlink(name)
        DescriptorTable.store(fd, Slot(word: 0))
    }

    deinit {
        DescriptorTable.store(fd, Slot(word: 0))
        close(fd)
    }
}

extension SharedStateTests {
    @Suite(.serialized) struct EligibilityTests {
        private static let direct: Int32 = 0o40000  // O_DIRECT, which C has for GNU sources only

        /// The reason for which a request stays with the kernel; nil when it goes to a ring.
        private func reason(
            _ opcode: UInt32, _ fd: Int32, writesInFlight: Bool = false,
            sizeLimit: Int64 = .max, kernelNanoseconds: UInt64 = 1_000_000,
            _ change: (inout iotrap_iocb) -> Void = { _ in }
        ) throws -> iotrap_reason? {
            var iocb = iotrap_iocb()
            iocb.opcode = UInt16(opcode)
            iocb.descriptor = UInt32(bitPattern: fd)
            if opcode == IOTRAP_IOCB_PREAD || opcode == IOTRAP_IOCB_PWRITE {
                iocb.buffer = 0x10000
                iocb.bytes = 4096
            }
            change(&iocb)
            let request = try #require(RequestPool.take())
            defer { RequestPool.give(request) }
            let thread = TestThread()
            let test = try TestContext()
            test.context.pointee.kernel_submit_ns = kernelNanoseconds
            var limit = sizeLimit
            let answer = Eligibility.judge(
                thread.address, iocb, request, test.context, writesInFlight: writesInFlight,
                sizeLimit: &limit)
            if case .kernel(let reason) = answer { return reason }
            #expect(request.pointee.descriptor == fd)
            return nil
        }

        @Test func readsOfFilesAndDirectWritesGoToTheRing() throws {
            let buffered = Opened(O_RDWR)
            let direct = Opened(O_RDWR | Self.direct)
            try #require(direct.fd >= 0, "/tmp has no O_DIRECT")
            #expect(try reason(IOTRAP_IOCB_PREAD, buffered.fd) == nil)
            #expect(try reason(IOTRAP_IOCB_PREAD, direct.fd) == nil)
            #expect(try reason(IOTRAP_IOCB_PWRITE, direct.fd) == nil)
        }

        @Test func writesThatTheKernelOnlyStartsStayThere() throws {
            let file = Opened(O_RDWR | Self.direct)
            for nanoseconds in [0, Eligibility.writesWaitNanoseconds] {
                #expect(
                    try reason(IOTRAP_IOCB_PWRITE, file.fd, kernelNanoseconds: nanoseconds)
                        == IOTRAP_REASON_COMPARED)
                #expect(
                    try reason(IOTRAP_IOCB_PREAD, file.fd, kernelNanoseconds: nanoseconds) == nil)
            }
            let slow = Eligibility.writesWaitNanoseconds + 1
            #expect(try reason(IOTRAP_IOCB_PWRITE, file.fd, kernelNanoseconds: slow) == nil)
        }

        @Test func whatTheKernelRunsInOrderStaysThere() throws {
            let buffered = Opened(O_RDWR)
            let appending = Opened(O_RDWR | O_APPEND)
            let directAppending = Opened(O_RDWR | O_APPEND | Self.direct)
            for file in [buffered, appending, directAppending] {
                #expect(try reason(IOTRAP_IOCB_PWRITE, file.fd) == IOTRAP_REASON_ORDERED)
            }
        }

        @Test func aFlagThatChangedSinceTheFileWasSeenIsAskedFor() throws {
            let file = Opened(O_RDWR | Self.direct)
            #expect(try reason(IOTRAP_IOCB_PWRITE, file.fd) == nil)
            // Behind the engine's back, as through another process that shares the file.
            _ = iotrap_syscall(72, Int(file.fd), Int(F_SETFL), Int(O_APPEND | Self.direct), 0, 0, 0)
            #expect(try reason(IOTRAP_IOCB_PWRITE, file.fd) == IOTRAP_REASON_ORDERED)
        }

        @Test func descriptorsThatCannotDoItGetTheKernelsError() throws {
            let readOnly = Opened(O_RDONLY | Self.direct)
            let writeOnly = Opened(O_WRONLY | Self.direct)
            let bad = IOTRAP_REASON_BAD_DESCRIPTOR
            #expect(try reason(IOTRAP_IOCB_PWRITE, readOnly.fd) == bad)
            #expect(try reason(IOTRAP_IOCB_PREAD, writeOnly.fd) == bad)
            #expect(try reason(IOTRAP_IOCB_PREAD, -1) == bad)
            #expect(try reason(IOTRAP_IOCB_PREAD, 1_000_000) == bad)
            var ends: [Int32] = [0, 0]
            #expect(pipe(&ends) == 0)
            for end in ends {
                DescriptorTable.store(end, Slot(word: 0))
                #expect(try reason(IOTRAP_IOCB_PREAD, end) == IOTRAP_REASON_NOT_REGULAR)
                #expect(try reason(IOTRAP_IOCB_PWRITE, end) == IOTRAP_REASON_NOT_REGULAR)
                DescriptorTable.store(end, Slot(word: 0))
                close(end)
            }
        }

        @Test func unusualRequestsStayWithTheKernel() throws {
            let file = Opened(O_RDWR | Self.direct)
            let changes: [(iotrap_reason, (inout iotrap_iocb) -> Void)] = [
                (IOTRAP_REASON_EVENTFD, { $0.flags = IOTRAP_IOCB_FLAG_RESFD }),
                (IOTRAP_REASON_FLAGS, { $0.flags = IOTRAP_IOCB_FLAG_IOPRIO }),
                (IOTRAP_REASON_FLAGS, { $0.flags = 1 << 31 }),
                (IOTRAP_REASON_FLAGS, { $0.rw_flags = 1 }),
                (IOTRAP_REASON_FLAGS, { $0.reserved2 = 1 }),
                (IOTRAP_REASON_SIZE_LIMIT, { $0.offset = -1 }),
                (IOTRAP_REASON_SIZE_LIMIT, { $0.bytes = 0 }),
                (IOTRAP_REASON_SIZE_LIMIT, { $0.bytes = 0x7fff_f001 }),
                (IOTRAP_REASON_SIZE_LIMIT, { $0.bytes = .max }),
                (IOTRAP_REASON_SIZE_LIMIT, { $0.buffer = .max }),
                (IOTRAP_REASON_SIZE_LIMIT, { $0.buffer = (1 << 47) - 4095 }),
                (IOTRAP_REASON_SIZE_LIMIT, { $0.offset = .max - 4095 }),
            ]
            for (index, (expected, change)) in changes.enumerated() {
                #expect(
                    try reason(IOTRAP_IOCB_PREAD, file.fd, change) == expected, "change \(index)")
            }
            #expect(try reason(IOTRAP_IOCB_PREAD, file.fd) { $0.bytes = 0x7fff_f000 } == nil)
            #expect(try reason(IOTRAP_IOCB_PREAD, file.fd) { $0.offset = .max - 4096 } == nil)
            for opcode: UInt32 in [IOTRAP_IOCB_POLL, IOTRAP_IOCB_NOOP, 4, 9, 0xffff] {
                #expect(try reason(opcode, file.fd) == IOTRAP_REASON_OPCODE)
            }
        }

        @Test func aWriteBeyondTheSizeLimitIsTheKernelsToSignal() throws {
            let file = Opened(O_RDWR | Self.direct)
            #expect(try reason(IOTRAP_IOCB_PWRITE, file.fd, sizeLimit: 4096) == nil)
            #expect(
                try reason(IOTRAP_IOCB_PWRITE, file.fd, sizeLimit: 4095)
                    == IOTRAP_REASON_SIZE_LIMIT)
            #expect(try reason(IOTRAP_IOCB_PREAD, file.fd, sizeLimit: 4095) == nil)
        }

        @Test func aSyncGoesToTheRingOnlyBehindItsWrites() throws {
            let file = Opened(O_RDWR | Self.direct)
            for opcode in [IOTRAP_IOCB_FSYNC, IOTRAP_IOCB_FDSYNC] {
                #expect(try reason(opcode, file.fd) == IOTRAP_REASON_OPCODE)
                #expect(try reason(opcode, file.fd, writesInFlight: true) == nil)
                #expect(
                    try reason(opcode, file.fd, writesInFlight: true) { $0.bytes = 1 }
                        == IOTRAP_REASON_OPCODE)
            }
        }

        @Test func vectorsAreCountedInTheProgramsMemory() throws {
            let file = Opened(O_RDWR | Self.direct)
            let room = try #require(iotrap_pages(8192, 0))
            defer { iotrap_pages_free(room, 8192) }
            mprotect(room + 4096, 4096, PROT_NONE)
            let base = UnsafeMutableRawPointer(bitPattern: 0x10000)
            func judged(_ lengths: [Int], at offset: Int = 0, count: UInt64? = nil) throws
                -> iotrap_reason?
            {
                let vector = (room + offset).assumingMemoryBound(to: iovec.self)
                for (index, length) in lengths.enumerated() {
                    vector[index] = iovec(iov_base: base, iov_len: length)
                }
                return try reason(IOTRAP_IOCB_PREADV, file.fd) {
                    $0.buffer = UInt64(UInt(bitPattern: vector))
                    $0.bytes = count ?? UInt64(lengths.count)
                }
            }
            let limit = IOTRAP_REASON_SIZE_LIMIT
            #expect(try judged([4096, 4096]) == nil)
            #expect(try judged([0, 4096, 0]) == nil)
            #expect(try judged([0, 0]) == limit)
            #expect(try judged([]) == limit)
            #expect(try judged([0x7fff_f000]) == nil)
            #expect(try judged([0x7fff_0000, 0xf001]) == limit)
            #expect(try judged([.max, .max]) == limit)
            #expect(try judged([-1]) == limit)
            #expect(try judged([4096], at: 4080) == nil)
            #expect(try judged([4096], at: 4080, count: 2) == limit, "it ends in another page")
            #expect(try judged([4096], count: 1025) == limit)
            #expect(try judged([4096], count: .max) == limit)
        }
    }
}
