import CIOTrapEngine
import Glibc
import Testing

@testable import IOTrapEngine

@Suite struct InsideTests {
    /// Enters from a frame further down the stack, as a signal handler would.
    @inline(never)
    private func enterBelow(_ thread: Inside.Thread) -> Bool {
        // Room enough that this frame lies below those of the callers in any build.
        withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 16) { room in
            room[0] = 1
            return Inside.enter(thread)
        }
    }

    @Test func aHandlerThatInterruptsACriticalPartStaysOut() {
        let thread = TestThread()
        #expect(Inside.enter(thread.address))
        #expect(!enterBelow(thread.address))
        #expect(!enterBelow(thread.address), "as often as it tries")
        Inside.leave(thread.address)
        #expect(enterBelow(thread.address))
        Inside.leave(thread.address)
    }

    @Test func aPartThatWasJumpedOutOfGivesItsLocksBack() {
        let thread = TestThread()
        let words = UnsafeMutablePointer<UInt32>.allocate(capacity: 2)
        defer { words.deallocate() }
        words.initialize(repeating: 0, count: 2)
        // Entered deeper, and never left: what longjmp leaves behind.
        #expect(enterBelow(thread.address))
        Inside.lock(thread.address, 0, words)
        Inside.lock(thread.address, 1, words + 1)
        #expect(words[0] == 1 && words[1] == 1)
        #expect(Inside.enter(thread.address))
        #expect(words[0] == 0 && words[1] == 0)
        Inside.leave(thread.address)
    }

    @Test func locksThatWereGivenBackAreNotGivenBackAgain() {
        let thread = TestThread()
        let word = UnsafeMutablePointer<UInt32>.allocate(capacity: 1)
        defer { word.deallocate() }
        word.initialize(to: 0)
        #expect(enterBelow(thread.address))
        Inside.lock(thread.address, 0, word)
        Inside.unlock(thread.address, 0, word)
        word.pointee = 1  // somebody else's by now
        #expect(Inside.enter(thread.address))
        #expect(word.pointee == 1)
        Inside.leave(thread.address)
    }

    // MARK: - The program's memory

    @Test func memoryIsAskedForPageByPage() throws {
        let thread = TestThread()
        let pages = try #require(iotrap_pages(3 * 4096, 0))
        defer { iotrap_pages_free(pages, 3 * 4096) }
        mprotect(pages + 4096, 4096, PROT_READ)
        mprotect(pages + 8192, 4096, PROT_NONE)
        let start = UInt(bitPattern: pages)
        let answers: [(offset: UInt, bytes: UInt, read: Bool, write: Bool)] = [
            (0, 8, true, true), (0, 4096, true, true), (4088, 8, true, true),
            (4092, 8, true, false), (0, 8192, true, false), (4096, 64, true, false),
            (8184, 8, true, false), (8184, 16, false, false), (8192, 8, false, false),
            (0, 12_288, false, false),
        ]
        for (offset, bytes, read, write) in answers {
            #expect(
                UserMemory.isReadable(thread.address, start + offset, bytes: bytes) == read,
                "reading \(bytes) at \(offset)")
            #expect(
                UserMemory.isWritable(thread.address, start + offset, bytes: bytes) == write,
                "writing \(bytes) at \(offset)")
        }
    }

    @Test func askingForWritingLeavesTheMemoryAsItIs() throws {
        let thread = TestThread()
        let page = try #require(iotrap_pages(4096, 0))
        defer { iotrap_pages_free(page, 4096) }
        // What is asked for is about to be overwritten with events; the rest is the program's.
        memset(page, 0x5a, 4096)
        #expect(UserMemory.isWritable(thread.address, UInt(bitPattern: page) + 64, bytes: 32))
        let bytes = UnsafeRawBufferPointer(start: page, count: 4096)
        for index in 0..<4096 where index < 64 || index >= 96 {
            #expect(bytes[index] == 0x5a, "byte \(index)")
        }
    }

    @Test func addressesThatCannotBeAreRefusedWithoutAsking() {
        let thread = TestThread()
        for (address, bytes) in [
            (0, 8), (8, 8), (4095, 8), (UInt.max, 8), (UInt.max - 6, 8), (UInt.max - 4096, 8192),
            (1 << 63, 8),
        ] as [(UInt, UInt)] {
            #expect(!UserMemory.isReadable(thread.address, address, bytes: bytes), "\(address)")
            #expect(!UserMemory.isWritable(thread.address, address, bytes: bytes), "\(address)")
        }
    }
}
