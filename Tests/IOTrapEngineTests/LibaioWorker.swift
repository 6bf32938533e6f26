import CIOTrapEngine
import Glibc
import Synchronization

@testable import IOTrapEngine

/// One worker of the stress of libaio: what it knows outlasts the threads that take its part.
final class LibaioWorker: @unchecked Sendable {
    private let stress: LibaioStress
    private let number: Int
    private let slots: ArraySlice<LibaioSlot>
    private var generator: SplitMix
    private var generations: [[Int]]

    init(_ stress: LibaioStress, _ number: Int) {
        self.stress = stress
        self.number = number
        let first = number * LibaioStress.slotsPerWorker
        slots = stress.slots[first..<(first + LibaioStress.slotsPerWorker)]
        generator = stress.run.generator(number)
        generations = Array(
            repeating: Array(repeating: 0, count: LibaioStress.pages), count: LibaioStress.files)
    }

    private func below(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &generator) }

    /// Mostly its own context; now and then that of another worker, which is shared from then on.
    private func anyContext() -> LibaioContext {
        switch below(100) {
        case 0: stress.contexts[below(stress.contexts.count)]
        case 1..<60: stress.contexts[LibaioStress.sharedContexts + number]
        default: stress.contexts[below(LibaioStress.sharedContexts)]
        }
    }

    func step() {
        let context = anyContext()
        switch below(100) {
        case 0..<2: stress.replace(context, &generator)
        case 2..<6: cancel(context)
        case 6..<8: useNothing()
        case 8..<55: submit(context)
        default:
            stress.take(context, minimum: Int64(below(5)), milliseconds: below(3))
        }
    }

    // MARK: - Submitting

    private func submit(_ context: LibaioContext) {
        context.lock.shared {
            var requests: [LibaioRequest] = []
            var taken: [LibaioSlot] = []
            let most = 1 + below(16)
            for slot in slots where slot.isFree && taken.count < most {
                guard let request = prepare(slot) else { continue }
                if context.tells && below(4) == 0 && slot.kind != .sync {
                    request.iocb.pointee.flags = IOTRAP_IOCB_FLAG_RESFD
                    request.iocb.pointee.eventfd = UInt32(stress.event)
                }
                // Before the call: its event may be taken by another thread before it returns.
                slot.holder.store(context.number, ordering: .releasing)
                taken.append(slot)
                requests.append(request)
            }
            submit(context, requests, taken)
            for request in requests { request.free() }
        }
    }

    private func submit(
        _ context: LibaioContext, _ requests: [LibaioRequest], _ taken: [LibaioSlot]
    ) {
        var list = requests.map { $0.object }
        var bad = iotrap_iocb()
        bad.descriptor = UInt32.max
        let place = below(24)
        let result = withUnsafeMutablePointer(to: &bad) { bad in
            if place < list.count { list.insert(UInt64(UInt(bitPattern: bad)), at: place) }
            return iotrap_io_submit(context.handle, Int64(list.count), list)
        }
        let good = min(place, taken.count)
        let isRefused = result == -11 || (result == -9 && good == 0 && place < list.count)
        stress.run.expect(
            result >= 0 && result <= Int64(good) && (result > 0 || list.isEmpty) || isRefused,
            "io_submit of \(list.count), good up to \(good): \(result)")
        let accepted = Int(max(0, result))
        for slot in taken.dropFirst(accepted) { takeBack(slot) }
        let told = requests.prefix(accepted).filter { $0.iocb.pointee.flags != 0 }.count
        stress.told.wrappingAdd(UInt64(told), ordering: .acquiringAndReleasing)
    }

    private func takeBack(_ slot: LibaioSlot) {
        if slot.kind == .write { generations[slot.file][slot.page] -= 1 }
        slot.holder.store(0, ordering: .releasing)
    }

    /// A request for a page that no other touches; nil when chance finds none.
    private func prepare(_ slot: LibaioSlot) -> LibaioRequest? {
        let file = below(LibaioStress.files)
        let page = below(LibaioStress.pages)
        if slots.contains(where: { !$0.isFree && $0.file == file && $0.page == page }) {
            return nil
        }
        slot.file = file
        slot.page = page
        let request = LibaioRequest(slot)
        let iocb = request.iocb
        iocb.pointee.descriptor = UInt32(stress.descriptors[file])
        if below(20) == 0 {
            slot.kind = .sync
            iocb.pointee.opcode = UInt16(below(2) == 0 ? IOTRAP_IOCB_FDSYNC : IOTRAP_IOCB_FSYNC)
            return request
        }
        let writes = below(3) == 0
        slot.kind = writes ? .write : .read
        if writes { generations[file][page] += 1 }
        slot.content = content(file, page)
        if writes {
            StressContent.fill(slot.memory, slot.content)
        } else {
            memset(slot.memory, 0, StressContent.pageBytes)
        }
        iocb.pointee.offset = Int64(place(page) * StressContent.pageBytes)
        if below(4) == 0 {
            let half = StressContent.pageBytes / 2
            request.vector[0] = iovec(iov_base: slot.memory, iov_len: half)
            request.vector[1] = iovec(iov_base: slot.memory + half, iov_len: half)
            iocb.pointee.opcode = UInt16(writes ? IOTRAP_IOCB_PWRITEV : IOTRAP_IOCB_PREADV)
            iocb.pointee.buffer = UInt64(UInt(bitPattern: request.vector))
            iocb.pointee.bytes = 2
        } else {
            iocb.pointee.opcode = UInt16(writes ? IOTRAP_IOCB_PWRITE : IOTRAP_IOCB_PREAD)
            iocb.pointee.buffer = UInt64(UInt(bitPattern: slot.memory))
            iocb.pointee.bytes = UInt64(StressContent.pageBytes)
        }
        return request
    }

    private func place(_ page: Int) -> Int { number * LibaioStress.pages + page }

    private func content(_ file: Int, _ page: Int) -> UInt64 {
        LibaioStress.content(file, place(page), generation: generations[file][page])
    }

    // MARK: - Others

    /// A poll that nothing ends but its cancelling, or the end of its context.
    private func cancel(_ context: LibaioContext) {
        guard let slot = slots.first(where: { $0.isFree }) else { return }
        context.lock.shared {
            slot.kind = .poll
            slot.file = -1
            let request = LibaioRequest(slot)
            defer { request.free() }
            request.iocb.pointee.opcode = UInt16(IOTRAP_IOCB_POLL)
            request.iocb.pointee.descriptor = UInt32(stress.emptyPipe)
            request.iocb.pointee.buffer = 1  // POLLIN
            slot.holder.store(context.number, ordering: .releasing)
            let result = iotrap_io_submit(context.handle, 1, [request.object])
            if result == -11 { return takeBack(slot) }
            stress.run.expect(result == 1, "io_submit of a poll: \(result)")
            var event = iotrap_event()
            let cancelled = iotrap_io_cancel(context.handle, request.object, &event)
            stress.run.expect(cancelled == -115, "io_cancel: \(cancelled)")
        }
    }

    /// Handles of contexts that are not there.
    private func useNothing() {
        let handle = UInt64(1 + below(4)) << 12
        var event = iotrap_event()
        stress.run.expect(iotrap_io_submit(handle, 1, [handle]) == -22, "io_submit")
        let found = iotrap_io_getevents(handle, 1, 1, &event, nil, nil, 0)
        stress.run.expect(found == -22, "io_getevents: \(found)")
        let ended = iotrap_io_destroy(handle)
        stress.run.expect(ended == -22 || ended == Int64.min, "io_destroy: \(ended)")
    }

    /// What all writes together have left in the files.
    func checkFiles(_ page: UnsafeMutableRawPointer) {
        for file in 0..<LibaioStress.files {
            for at in 0..<LibaioStress.pages {
                let result = pread(
                    stress.descriptors[file], page, StressContent.pageBytes,
                    off_t(place(at) * StressContent.pageBytes))
                stress.run.expect(
                    result == StressContent.pageBytes
                        && StressContent.matches(page, content(file, at)),
                    "page \(at) of worker \(number) in file \(file)")
            }
        }
    }
}
