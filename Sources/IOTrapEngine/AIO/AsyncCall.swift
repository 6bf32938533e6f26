import CIOTrap
import CIOTrapEngine

/// One intercepted call of an asynchronous interface: counted, and timed when it is its turn.
struct AsyncCall {
    typealias Thread = UnsafeMutablePointer<iotrap_thread>

    /// IOTRAP_AIO_DECLINED: the hook makes the call itself.
    static var declined: Int64 { Int64.min }

    /// Why a context is not known: the technique is off, or its record found no place.
    static var unknownReason: iotrap_reason {
        let setting = process.pointee.configuration.setting(IOTRAP_TECHNIQUE_LIBAIO.rawValue)
        return setting == IOTRAP_SETTING_OFF.rawValue
            ? IOTRAP_REASON_POLICY : IOTRAP_REASON_TABLE_FULL
    }

    private let operation: UInt32
    private let started: UInt64
    private let weight: UInt64

    /// Counts the call; nil when this thread must not be noticed at all.
    @inline(__always)
    init?(_ thread: Thread, _ operation: iotrap_operation) {
        if thread.pointee.state != iotrap_guard_word() {
            guard IOTrapEngine.enter(thread) else { return nil }
        }
        self.operation = operation.rawValue
        if let block = thread.pointee.block {
            iotrap_block_operation(block, self.operation).pointee.calls &+= 1
        }
        let countdown = iotrap_countdown(thread, self.operation)
        if countdown.pointee > 1 {
            countdown.pointee &-= 1
            started = 0
            weight = 0
        } else {
            weight = UInt64(iotrap_interval(thread, self.operation).pointee)
            started = iotrap_clock()
        }
    }

    /// Notes the outcome of a call that went to the kernel, or to libc.
    @inline(__always)
    func passed(_ thread: Thread, _ reason: iotrap_reason, failed: Bool) {
        Recording.reason(thread, reason)
        end(thread, failed: failed)
    }

    /// Bytes that a request of libaio has moved.
    static func noteBytes(
        _ thread: Thread, _ result: Int64, by technique: iotrap_technique? = nil
    ) {
        guard result > 0, let block = thread.pointee.block else { return }
        iotrap_block_operation(block, IOTRAP_OP_IO_SUBMIT.rawValue).pointee.bytes &+= UInt64(result)
        if let technique {
            iotrap_block_technique(block, technique.rawValue).pointee.bytes &+= UInt64(result)
        }
    }

    /// Notes a call that gave requests to a technique.
    @inline(__always)
    func served(
        _ thread: Thread, _ technique: iotrap_technique, requests: UInt64, failed: Bool
    ) {
        if let block = thread.pointee.block {
            let counts = iotrap_block_technique(block, technique.rawValue)
            counts.pointee.calls &+= 1
            counts.pointee.requests &+= requests
            counts.pointee.batches &+= 1
        }
        served(thread, failed: failed)
    }

    /// Notes the outcome of a call that a technique served at least in part.
    @inline(__always)
    func served(_ thread: Thread, failed: Bool) {
        if let block = thread.pointee.block {
            iotrap_block_operation(block, operation).pointee.accelerated &+= 1
        }
        end(thread, failed: failed)
    }

    @inline(__always)
    private func end(_ thread: Thread, failed: Bool) {
        if failed, let block = thread.pointee.block {
            iotrap_block_operation(block, operation).pointee.errors &+= 1
        }
        if started != 0 { time(thread) }
    }

    @inline(never)
    private func time(_ thread: Thread) {
        let nanoseconds = iotrap_clock() &- started
        Recording.timed(thread, operation, nanoseconds, weight: weight)
        switch operation {
        case IOTRAP_OP_IO_SUBMIT.rawValue:
            AsyncRecording.submitTime(thread, IOTRAP_ASYNC_LIBAIO, nanoseconds, weight: weight)
        case IOTRAP_OP_AIO_READ.rawValue, IOTRAP_OP_AIO_WRITE.rawValue,
            IOTRAP_OP_AIO_FSYNC.rawValue, IOTRAP_OP_LIO_LISTIO.rawValue:
            AsyncRecording.submitTime(thread, IOTRAP_ASYNC_POSIX, nanoseconds, weight: weight)
        default: break
        }
    }
}
