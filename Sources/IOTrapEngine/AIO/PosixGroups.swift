import CIOTrap
import CIOTrapEngine
import Synchronization

/// The requests of one lio_listio call. A group is a request of the pool that is never issued:
/// `length` counts its members that have not ended, and the call itself until it is done with
/// the group; whoever takes it to zero gives it back.
enum PosixGroups {
    typealias Group = RequestPool.Request

    /// A group's `kind`.
    private enum Kind {
        static let waited: UInt8 = 0
        static let notified: UInt8 = 1
    }

    /// A group of which the caller is the only member; nil when memory is refused.
    static func make(_ notice: UnsafePointer<iotrap_notice>?) -> Group? {
        guard let group = RequestPool.take() else { return nil }
        group.pointee.length = 1
        group.pointee.state = 0
        group.pointee.kind = Kind.waited
        if let notice = notice?.pointee {
            group.pointee.kind = Kind.notified
            group.pointee.descriptor = notice.notify
            group.pointee.rw_flags = UInt32(bitPattern: notice.signal)
            group.pointee.data = notice.value
            group.pointee.object = notice.function
            group.pointee.started_ns = notice.attributes
        }
        return group
    }

    /// One more member, before it is issued.
    static func join(_ group: Group) {
        remaining(group).atomic.pointee.wrappingAdd(1, ordering: .relaxed)
    }

    /// A member has ended, or the call has.
    static func leave(_ group: Group, failed: Bool, inService: Bool) {
        // Read before: afterwards the group may be gone.
        let isWaited = group.pointee.kind == Kind.waited
        let word = remaining(group)
        if failed {
            iotrap_request_state(group).atomic.pointee.store(1, ordering: .relaxed)
        }
        // releasing and acquiring: the last one out sees what all others did
        let left = word.atomic.pointee.wrappingSubtract(1, ordering: .acquiringAndReleasing)
            .newValue
        if left == 0 { return end(group, inService: inService) }
        if left == 1 && isWaited { iotrap_futex_wake(word, 1) }
    }

    private static func end(_ group: Group, inService: Bool) {
        guard group.pointee.kind == Kind.notified else { return RequestPool.give(group) }
        var notice = iotrap_notice(
            notify: group.pointee.descriptor, signal: Int32(bitPattern: group.pointee.rw_flags),
            value: group.pointee.data, function: group.pointee.object,
            attributes: group.pointee.started_ns)
        tell(&notice, group, inService: inService)
    }

    /// Tells of a group whose members have all ended. The request is given back.
    static func tell(_ notice: inout iotrap_notice, _ request: Group, inService: Bool) {
        if notice.notify == IOTRAP_NOTIFY_THREAD {
            if inService {
                PosixDelivery.makeThread(&notice, request)
            } else {
                iotrap_notify_thread(&notice, request)
            }
            return
        }
        RequestPool.give(request)
        if notice.sendsSignal { _ = iotrap_notify_signal(&notice) }
    }

    /// Waits until the caller is the only member left.
    ///
    /// - Returns: 0, or -EINTR when a signal handler ran that does not restart calls.
    static func wait(_ group: Group) -> Int32 {
        let word = remaining(group)
        while true {
            // acquiring: pairs with `leave`
            let left = word.atomic.pointee.load(ordering: .acquiring)
            if left == 1 { return 0 }
            if iotrap_futex_wait_signals(word, left, nil) == -4 { return -4 }
        }
    }

    /// True when a member failed.
    static func hasFailed(_ group: Group) -> Bool { group.pointee.state != 0 }

    private static func remaining(_ group: Group) -> UnsafeMutablePointer<UInt32> {
        iotrap_request_length(group)
    }
}
