import CIOTrap
import CIOTrapEngine
import Glibc
import Synchronization

@testable import IOTrapEngine

/// One worker of the stress of POSIX AIO: what it knows outlasts the threads that take its part.
final class PosixWorker: @unchecked Sendable {
    private let stress: PosixStress
    private let number: Int
    private let slots: ArraySlice<PosixSlot>
    private var generator: SplitMix
    /// A descriptor that is closed and opened again, its requests notwithstanding.
    private var own: Int32 = -1
    private var appending: Int32 = -1
    private var appended: [UInt64] = []
    private var ends: [Int32] = [-1, -1]
    private let waiting = PosixSlot(-1)

    init(_ stress: PosixStress, _ number: Int) {
        self.stress = stress
        self.number = number
        let first = number * PosixStress.slotsPerWorker
        slots = stress.slots[first..<(first + PosixStress.slotsPerWorker)]
        generator = stress.run.generator(2000 + number)
        pipe(&ends)
        appending = stress.run.open("append\(number)", O_APPEND | O_TRUNC)
        own = stress.run.open("own\(number)", 0)
        ftruncate(own, off_t(stress.slots.count * StressContent.pageBytes))
    }

    private func below(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &generator) }

    private func expect(_ isRight: Bool, _ what: @autoclosure () -> String, line: Int = #line) {
        stress.run.expect(isRight, what(), line: line)
    }

    func step() {
        switch below(100) {
        case 0: closeOwn()
        case 1: append()
        case 2: synchronize()
        case 3..<6: readPipe()
        case 6..<12: cancel()
        case 12..<25: suspend(slots)
        case 25..<30: suspend(stress.slots[...])
        case 30..<45: lookAround()
        case 45..<55: submitList()
        default: submitOne()
        }
    }

    // MARK: - Submitting

    private func submitOne() {
        guard let slot = slots.first(where: { $0.hold(PosixSlot.State.free) }) else { return }
        prepare(slot)
        let operation = slot.writes ? IOTRAP_OP_AIO_WRITE : IOTRAP_OP_AIO_READ
        let result = iotrap_posix_transfer(operation.rawValue, slot.block)
        expect(result == 0, "aio_read or aio_write: \(result)")
        slot.leave(PosixSlot.State.inFlight)
    }

    private func submitList() {
        let waits = below(2) == 0
        var held: [PosixSlot] = []
        for slot in slots where held.count < 6 && slot.hold(PosixSlot.State.free) {
            prepare(slot)
            slot.block.pointee.opcode = slot.writes ? 1 : 0
            held.append(slot)
        }
        var list = held.map { $0.block as UnsafeMutablePointer<iotrap_aiocb>? }
        list.insert(nil, at: below(list.count + 1))
        let result: Int64
        if waits {
            result = iotrap_posix_list(1, list, Int32(list.count), nil)
            let all = held.allSatisfy { Posix.error($0.block) != Posix.inProgress }
            expect(all, "lio_listio came back before all had ended")
        } else {
            var notice = iotrap_notice(
                notify: IOTRAP_NOTIFY_THREAD, signal: 0, value: 0,
                function: PosixNotifications.function, attributes: 0)
            PosixNotifications.wanted.wrappingAdd(1, ordering: .acquiringAndReleasing)
            result = iotrap_posix_list(0, list, Int32(list.count), &notice)
        }
        expect(result == 0 || (waits && result == -5), "lio_listio: \(result)")
        for slot in held { slot.leave(PosixSlot.State.inFlight) }
    }

    private func prepare(_ slot: PosixSlot) {
        slot.makeBlock()
        slot.descriptor = slot.page & 1 == 0 ? own : stress.shared
        slot.block.pointee.descriptor = slot.descriptor
        slot.block.pointee.bytes = UInt64(StressContent.pageBytes)
        slot.block.pointee.offset = Int64(slot.page * StressContent.pageBytes)
        slot.writes = below(2) == 0
        if slot.writes {
            slot.content = generator.next()
            StressContent.fill(slot.memory, slot.content)
        } else {
            memset(slot.memory, 0, StressContent.pageBytes)
        }
        notify(slot.block)
    }

    private func notify(_ block: Posix.Block) {
        block.pointee.notify = IOTRAP_NOTIFY_NONE
        switch below(16) {
        case 0:
            block.pointee.notify = IOTRAP_NOTIFY_THREAD
            block.pointee.notify_function = PosixNotifications.function
            PosixNotifications.wanted.wrappingAdd(1, ordering: .acquiringAndReleasing)
        case 1...3:
            block.pointee.notify = IOTRAP_NOTIFY_SIGNAL
            block.pointee.notify_signal = SIGUSR1
        default: break
        }
    }

    // MARK: - Ends

    /// Waits for some of the requests that are in flight, the worker's own or others'.
    private func suspend(_ slots: ArraySlice<PosixSlot>) {
        var held: [PosixSlot] = []
        for slot in slots where held.count < 8 && below(2) == 0 {
            if slot.hold(PosixSlot.State.inFlight) { held.append(slot) }
        }
        guard !held.isEmpty else { return }
        let isLimited = below(2) == 0
        let hasEnded = Posix.suspend(
            held.map { $0.block }, nanoseconds: isLimited ? 1_000_000 : nil)
        let ended = held.filter { Posix.error($0.block) != Posix.inProgress }
        expect(!ended.isEmpty || (isLimited && !hasEnded), "aio_suspend: \(hasEnded)")
        for slot in held { settle(slot) }
    }

    private func lookAround() {
        for slot in slots where slot.hold(PosixSlot.State.inFlight) { settle(slot) }
    }

    /// Takes the result of a request that has ended. The caller holds the slot.
    private func settle(_ slot: PosixSlot) {
        let error = Posix.error(slot.block)
        guard error != Posix.inProgress else { return slot.leave(PosixSlot.State.inFlight) }
        iotrap_posix_returned()
        let result = slot.block.pointee.result
        expect(error == 0 || error == Posix.cancelled || error == 9, "error \(error)")
        expect(result == (error == 0 ? Int64(StressContent.pageBytes) : -1), "result \(result)")
        if error == 0, slot.writes { slot.known = slot.content }
        if error == 0, !slot.writes, let known = slot.known {
            expect(StressContent.matches(slot.memory, known), "page \(slot.page): wrong content")
        }
        slot.freeBlock()
        slot.leave(PosixSlot.State.free)
    }

    private func drain() {
        for slot in slots {
            while slot.state.load(ordering: .acquiring) != PosixSlot.State.free {
                if slot.hold(PosixSlot.State.inFlight) {
                    Posix.wait(slot.block)
                    settle(slot)
                } else {
                    usleep(100)
                }
            }
        }
    }

    // MARK: - Others

    private func cancel() {
        guard below(3) > 0, let slot = slots.first(where: { $0.hold(PosixSlot.State.inFlight) })
        else {
            let answer = iotrap_posix_cancel(own, nil)
            return expect((0...2).contains(answer), "aio_cancel of a descriptor: \(answer)")
        }
        defer { settle(slot) }
        guard slot.descriptor == own || slot.descriptor == stress.shared else { return }
        let answer = iotrap_posix_cancel(slot.descriptor, slot.block)
        let error = Posix.error(slot.block)
        switch answer {
        case 0: expect(error == Posix.cancelled, "AIO_CANCELED, and error \(error)")
        case 1: break
        case 2: expect(error != Posix.inProgress, "AIO_ALLDONE, and in progress")
        default: expect(false, "aio_cancel: \(answer)")
        }
    }

    /// Closes a descriptor under its requests. The next one may have its number.
    private func closeOwn() {
        Posix.close(own)
        for slot in slots where slot.page & 1 == 0 {
            guard slot.hold(PosixSlot.State.inFlight) else { continue }
            Posix.wait(slot.block)
            settle(slot)
        }
        own = stress.run.open("own\(number)", below(2) == 0 ? StressContent.direct : 0)
    }

    private func synchronize() {
        var block = iotrap_aiocb()
        withUnsafeMutablePointer(to: &block) { block in
            block.pointee.descriptor = below(2) == 0 ? own : stress.shared
            notify(block)
            let result = iotrap_posix_sync(Int32(below(2)), block)
            expect(result == 0, "aio_fsync: \(result)")
            Posix.wait(block)
            let error = Posix.error(block)
            expect(error == 0 || error == Posix.cancelled, "aio_fsync: error \(error)")
        }
    }

    /// Several records behind each other, of which some may be cancelled: what is written is in the
    /// order of the calls.
    private func append() {
        let count = 1 + below(12)
        let blocks = UnsafeMutablePointer<iotrap_aiocb>.allocate(capacity: count)
        let records = UnsafeMutablePointer<UInt64>.allocate(capacity: count)
        defer {
            blocks.deallocate()
            records.deallocate()
        }
        for index in 0..<count {
            records[index] = generator.next()
            blocks[index] = iotrap_aiocb()
            blocks[index].descriptor = appending
            blocks[index].address = UnsafeMutableRawPointer(records + index)
            blocks[index].bytes = 8
            notify(blocks + index)
            let result = iotrap_posix_transfer(IOTRAP_OP_AIO_WRITE.rawValue, blocks + index)
            expect(result == 0, "aio_write: \(result)")
        }
        if below(2) == 0 { _ = iotrap_posix_cancel(appending, nil) }
        for index in 0..<count {
            Posix.wait(blocks + index)
            let error = Posix.error(blocks + index)
            expect(error == 0 || error == Posix.cancelled, "append: error \(error)")
            if error == 0 { appended.append(records[index]) }
        }
    }

    /// A read that waits until something is written to a pipe.
    private func readPipe() {
        if waiting.hold(PosixSlot.State.free) {
            waiting.makeBlock()
            let block = waiting.block!
            block.pointee.descriptor = ends[0]
            block.pointee.bytes = 8
            notify(block)
            let result = iotrap_posix_transfer(IOTRAP_OP_AIO_READ.rawValue, block)
            expect(result == 0, "aio_read of a pipe: \(result)")
        }
        guard below(2) == 0 else { return }
        finishPipe()
    }

    private func finishPipe() {
        var sent = generator.next()
        let written = write(ends[1], &sent, 8)
        expect(written == 8, "write to a pipe: \(written)")
        Posix.wait(waiting.block)
        let received = waiting.memory.load(as: UInt64.self)
        expect(
            waiting.block.pointee.result == 8 && received == sent,
            "a pipe gave \(waiting.block.pointee.result)")
        waiting.freeBlock()
        waiting.leave(PosixSlot.State.free)
    }

    /// Waits for everything and looks at what it left in the files.
    func end() {
        drain()
        if waiting.state.load(ordering: .acquiring) != PosixSlot.State.free { finishPipe() }
        let page = StressContent.makePage()
        defer { page.deallocate() }
        for slot in slots {
            guard let known = slot.known else { continue }
            let fd = slot.page & 1 == 0 ? own : stress.shared
            let result = pread(
                fd, page, StressContent.pageBytes, off_t(slot.page * StressContent.pageBytes))
            expect(
                result == StressContent.pageBytes && StressContent.matches(page, known),
                "page \(slot.page) of a file: wrong content")
        }
        var records = [UInt64](repeating: 0, count: appended.count + 1)
        let bytes = pread(appending, &records, records.count * 8, 0)
        expect(
            bytes == appended.count * 8 && Array(records.dropLast()) == appended,
            "appended records are lost or out of order: \(bytes) bytes of \(appended.count * 8)")
        for fd in [own, appending] + ends { Posix.close(fd) }
    }
}
