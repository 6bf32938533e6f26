import CIOTrapEngine
import Glibc
import Testing

@testable import IOTrapEngine

@Suite struct DescriptorTests {
    @Test func slotsKeepWhatIsPutIn() {
        let slot = Slot(kind: .direct, flags: OpenFlags.append, file: 1024, generation: 0xdead_beef)
        #expect(slot.kind == .direct)
        #expect(slot.appends)
        #expect(slot.file == 1024)
        #expect(slot.generation == 0xdead_beef)
        #expect(Slot(word: 0).kind == .unknown)
        #expect(!Slot(word: 0).mayRead)
        for (flags, mayRead) in [(O_RDONLY, true), (O_WRONLY, false), (O_RDWR, true)] {
            let opened = Slot(kind: .buffered, flags: UInt32(flags))
            #expect(opened.mayRead == mayRead && !opened.appends)
        }
    }

    @Test func tableForgetsAndBoundsItself() {
        let fd: Int32 = 700_123
        #expect(DescriptorTable.load(fd).kind == .unknown)
        #expect(DescriptorTable.store(fd, Slot(kind: .buffered)))
        #expect(DescriptorTable.load(fd).kind == .buffered)
        #expect(DescriptorTable.load(fd + 1).kind == .unknown)
        DescriptorTable.store(fd, Slot(word: 0))
        #expect(DescriptorTable.load(fd).kind == .unknown)
        for outside in [-1, Int32.min, Int32.max, 1 << 20] as [Int32] {
            #expect(!DescriptorTable.store(outside, Slot(kind: .buffered)))
            #expect(DescriptorTable.load(outside).kind == .unknown)
        }
    }

    @Test func forEachVisitsExactlyTheRange() {
        let numbers: [Int32] = [800_000, 800_001, 802_048, 805_000]
        for fd in numbers { DescriptorTable.store(fd, Slot(kind: .direct)) }
        defer { for fd in numbers { DescriptorTable.store(fd, Slot(word: 0)) } }
        var seen: [Int32] = []
        DescriptorTable.forEach(800_001, 804_999) { fd, _ in seen.append(fd) }
        #expect(seen == [800_001, 802_048])
        seen = []
        DescriptorTable.forEach(800_000, UInt32.max) { fd, _ in seen.append(fd) }
        #expect(seen == numbers)
    }

    @Test func classifiesByAskingTheKernel() throws {
        var name = Array("/tmp/iotrap-classify-XXXXXX".utf8CString)
        let file = mkstemp(&name)
        defer { close(file) }
        #expect(Classification.classify(file)?.kind == .buffered)
        let appending = open(name, O_WRONLY | O_APPEND)
        defer { close(appending) }
        #expect(Classification.classify(appending)?.appends == true)
        unlink(name)
        var ends: [Int32] = [0, 0]
        #expect(pipe(&ends) == 0)
        #expect(Classification.classify(ends[0])?.kind == .notRegular)
        close(ends[0])
        close(ends[1])
        #expect(Classification.classify(ends[0]) == nil)
        #expect(Classification.classify(-1) == nil)
    }

    @Test func recordsAreFoundByFileAndRecycledOnlyWhenIdle() {
        let (first, index) = FileTable.pin(device: 7, inode: 9, fd: 0)!
        let (again, sameIndex) = FileTable.pin(device: 7, inode: 9, fd: 0)!
        #expect(first == again && index == sameIndex)
        let generation = first.pointee.generation
        // More files than a table holds: the pinned record must survive them all.
        for inode in 100..<5000 {
            let (record, _) = FileTable.pin(device: 7, inode: UInt64(inode), fd: 0)!
            record.unpin()
        }
        #expect(first.pointee.inode == 9 && first.pointee.generation == generation)
        #expect(FileTable.pin(index: index, generation: generation) == first)
        #expect(FileTable.pin(index: index, generation: generation &+ 1) == nil)
        for _ in 0..<3 { first.unpin() }
        #expect(first.isIdle)
    }

    @Test func unreadableMemoryIsNoticed() {
        let page = mmap(nil, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)!
        defer { munmap(page, 8192) }
        mprotect(page + 4096, 4096, PROT_NONE)
        #expect(iotrap_readable(page, 4096) != 0)
        #expect(iotrap_readable(page + 4080, 16) != 0)
        #expect(iotrap_readable(page + 4080, 32) == 0)
        #expect(iotrap_readable(page + 4096, 16) == 0)
        #expect(iotrap_readable(UnsafeRawPointer(bitPattern: 16)!, 16) == 0)
    }
}
