import CIOTrap
import CIOTrapEngine
import Synchronization

/// Ties calls to the comparison they take part in.
///
/// A call carries the index and generation of its file record instead of a pin: a cancelled thread
/// never comes back to unpin. If the record has moved on meanwhile, the sample is dropped.
enum Experiment {
    /// Notes on the call that it takes part, and which way it goes.
    ///
    /// - Returns: true when the technique's arm is on.
    static func begin(
        _ call: UnsafeMutablePointer<iotrap_call>, _ record: UnsafeMutablePointer<FileRecord>,
        _ file: UInt32, _ comparison: UInt32
    ) -> Bool {
        let state = record.comparison(comparison)
        call.pointee.file = file
        call.pointee.file_generation = record.pointee.generation
        call.pointee.comparison = comparison + 1
        call.pointee.epoch = state.pointee.epoch
        let usesTechnique = state.pointee.usesTechnique
        inFlightWord(record, comparison).atomic.pointee.wrappingAdd(1, ordering: .relaxed)
        call.pointee.started_ns = iotrap_clock()
        return usesTechnique
    }

    /// The call goes the plain way whatever the arm: it is no sample of either, only in flight.
    static func withdraw(_ call: UnsafeMutablePointer<iotrap_call>) {
        call.pointee.comparison = 0
    }

    /// Takes in the outcome of a call that `begin` noted.
    static func finish(
        _ thread: UnsafeMutablePointer<iotrap_thread>, _ call: UnsafeMutablePointer<iotrap_call>,
        result: Int64, nanoseconds: UInt64
    ) {
        let file = call.pointee.file
        call.pointee.file = 0
        guard let files = process.pointee.files, file > 0 else { return }
        let record = files + Int(file - 1)
        guard record.pointee.generation == call.pointee.file_generation else { return }
        let index = call.pointee.comparison
        let inFlight = leave(inFlightWord(record, index &- 1))
        // Index 0: only counted as in flight. Errors say nothing about speed.
        guard index > 0, result >= 0 else { return }
        take(
            thread, record, index - 1, epoch: call.pointee.epoch, result: result,
            nanoseconds: nanoseconds, inFlight: max(inFlight, call.pointee.population))
    }

    /// True when the call is served to find out whether its technique pays.
    static func isTrial(_ call: UnsafeMutablePointer<iotrap_call>) -> Bool {
        guard call.pointee.file > 0, call.pointee.comparison > 0,
            let files = process.pointee.files
        else { return false }
        let record = files + Int(call.pointee.file - 1)
        return record.comparison(call.pointee.comparison - 1).pointee.isTrial
    }

    private static func take(
        _ thread: UnsafeMutablePointer<iotrap_thread>, _ file: UnsafeMutablePointer<FileRecord>,
        _ index: UInt32, epoch: UInt32, result: Int64, nanoseconds: UInt64, inFlight: UInt32
    ) {
        let isSync = index >= 16
        guard isSync || result > 0 else { return }
        let bytes = isSync ? 4096 : UInt64(result)
        // Signals need not be blocked: a handler that finds the lock held drops its sample.
        guard FutexLock.tryAcquire(file.lock) else { return }
        let event = file.comparison(index).pointee.record(
            epoch: epoch, nanoseconds: nanoseconds, now: iotrap_clock(), bytes: bytes,
            inFlight: inFlight)
        FutexLock.release(file.lock)
        let technique: iotrap_technique =
            isSync
            ? IOTRAP_TECHNIQUE_GROUP_SYNC
            : index < 8 ? IOTRAP_TECHNIQUE_SPLIT : IOTRAP_TECHNIQUE_RING
        Recording.event(thread, technique, event)
    }

    /// One call less in flight; how many there were.
    private static func leave(_ word: UnsafeMutablePointer<UInt32>) -> UInt32 {
        let before = word.atomic.pointee.load(ordering: .relaxed)
        // A recycled record was zeroed under a call that still counted itself in.
        guard before > 0 else { return 1 }
        return word.atomic.pointee.wrappingSubtract(1, ordering: .relaxed).oldValue
    }

    private static func inFlightWord(
        _ record: UnsafeMutablePointer<FileRecord>, _ comparison: UInt32
    ) -> UnsafeMutablePointer<UInt32> {
        switch comparison {
        case 16: return record.syncsInFlightWord(dataOnly: false)
        case 17: return record.syncsInFlightWord(dataOnly: true)
        default: return record.callsInFlightWord
        }
    }
}
