import CIOTrapEngine
import Synchronization

/// What a group needs of the world: the real sync, and the check that follows a shared one.
protocol Syncing {
    /// The real sync: 0 or -errno.
    mutating func sync() -> Int64
    /// Whether a write-back error has not yet been reported on this caller's open file
    /// description: 0 or -errno.
    mutating func checkError() -> Int64
    /// Identifies the open file description as far as it is known (the descriptor number).
    var descriptor: Int32 { get }
}

/// Concurrent syncs of one file share real ones.
///
/// A caller may be served only by a sync that *starts* after it arrived: that one covers every
/// write that returned before. Syncs of a group run one after the other and are numbered; a caller
/// that arrives while number n runs waits for n+1. When n ends, one of the waiters of n+1 is woken
/// to lead it, then the waiters of n are released.
///
/// Where a sync is slow, a leader first gathers: those that the last sync released write again and
/// come back within a fraction of its time, and one sync for all of them beats two for half of
/// them each. Some file systems also keep writers out while a sync runs: they get in only while the
/// leader waits. It waits for as many as were inside when the last sync ended, or as sync the file
/// lately, for an eighth of a sync's time at most, and only where syncs take a millisecond or more:
/// a shorter wait could not be timed.
///
/// The outcome of a real sync reaches everybody it served. Linux reports a write-back error once
/// per open file description (errseq_t, Linux 4.13), so the leader's success says nothing about
/// errors that another description has still to hear of: a follower with another descriptor asks
/// for its own (`checkError`).
///
/// The state, `iotrap_group`, lives in zeroed memory; its lock guards all but the slots' words.
enum GroupSync {
    typealias Group = UnsafeMutablePointer<iotrap_group>
    typealias Slot = UnsafeMutablePointer<iotrap_group_slot>

    /// Values of a slot's word.
    private enum Word {
        static let pending: UInt32 = 0
        static let leaderWanted: UInt32 = 1
        static let running: UInt32 = 2
        static let done: UInt32 = 3
    }

    /// How a caller was served.
    struct Outcome {
        /// 0 or -errno.
        var result: Int64
        /// True when this caller did the real sync.
        var led: Bool
    }

    /// Errors that concern the leader's descriptor or moment, not the file.
    static func concernsLeaderOnly(_ result: Int64) -> Bool {
        // EINTR, EBADF, EAGAIN, EINVAL, EROFS
        result == -4 || result == -9 || result == -11 || result == -22 || result == -30
    }

    /// Syncs through the group at `group`. Blocks until a sync that started after this call began
    /// has ended. Signals are blocked by the caller.
    ///
    /// - Parameter population: how many threads sync this file lately, this one included.
    static func sync<S: Syncing>(
        _ group: Group, _ caller: inout S, population: UInt32
    ) -> Outcome {
        let lock = lockWord(group)
        FutexLock.acquire(lock)
        if group.pointee.is_led == 0 {
            let number = begin(group)
            FutexLock.release(lock)
            return lead(group, number, &caller, population)
        }
        let number =
            group.pointee.is_gathering != 0 ? group.pointee.started : group.pointee.started &+ 1
        let slot = iotrap_group_slot(group, number)
        // A waiter of eight syncs ago that has not read its outcome yet: do without the group.
        if slot.pointee.waiters > 0, state(slot) == Word.done {
            FutexLock.release(lock)
            return Outcome(result: caller.sync(), led: true)
        }
        if slot.pointee.waiters == 0 {
            let first = group.pointee.is_gathering != 0 ? Word.running : Word.pending
            word(slot).atomic.pointee.store(first, ordering: .relaxed)
        }
        slot.pointee.waiters += 1
        FutexLock.release(lock)
        return wait(group, slot, number, &caller, population)
    }

    /// Takes the next sync in hand; the lock is held.
    private static func begin(_ group: Group) -> UInt64 {
        group.pointee.is_led = 1
        group.pointee.is_gathering = 1
        group.pointee.started &+= 1
        return group.pointee.started
    }

    private static func lead<S: Syncing>(
        _ group: Group, _ number: UInt64, _ caller: inout S, _ population: UInt32
    ) -> Outcome {
        let lock = lockWord(group)
        let slot = iotrap_group_slot(group, number)
        gather(group, slot, population)
        let began = iotrap_clock()
        let result = caller.sync()
        let took = iotrap_clock() &- began
        let next = iotrap_group_slot(group, number &+ 1)
        FutexLock.acquire(lock)
        group.pointee.sync_ns = (group.pointee.sync_ns &* 3 &+ took) / 4
        let hasWaiters = slot.pointee.waiters > 0 && state(slot) != Word.done
        if hasWaiters {
            slot.pointee.result = result
            slot.pointee.leader = caller.descriptor
            word(slot).atomic.pointee.store(Word.done, ordering: .releasing)
        }
        let isNextStale = next.pointee.waiters > 0 && state(next) == Word.done
        group.pointee.expected =
            group.pointee.gathered + (isNextStale ? 0 : next.pointee.waiters)
        let hasNext = next.pointee.waiters > 0 && state(next) == Word.pending
        if hasNext {
            _ = begin(group)
            word(next).atomic.pointee.store(Word.leaderWanted, ordering: .releasing)
        } else {
            group.pointee.is_led = 0
        }
        FutexLock.release(lock)
        // The next sync first: its leader is what everybody else waits for.
        if hasNext { iotrap_futex_wake(word(next), 1) }
        if hasWaiters { iotrap_futex_wake(word(slot), Int32.max) }
        return Outcome(result: result, led: true)
    }

    /// Waits for callers to join, then closes the sync to them.
    private static func gather(
        _ group: Group, _ slot: Slot, _ population: UInt32
    ) {
        let lock = lockWord(group)
        var waited: UInt64 = 0
        while true {
            FutexLock.acquire(lock)
            let isStale = slot.pointee.waiters > 0 && state(slot) == Word.done
            let callers = 1 + (isStale ? 0 : slot.pointee.waiters)
            let limit = group.pointee.sync_ns / 8
            let step = max(limit / 8, 50_000)
            let isWorthIt = group.pointee.sync_ns >= 1_000_000
            if callers >= max(group.pointee.expected, population) || !isWorthIt || waited >= limit {
                group.pointee.is_gathering = 0
                group.pointee.gathered = callers
                FutexLock.release(lock)
                return
            }
            FutexLock.release(lock)
            iotrap_pause_ns(step)
            waited += step
        }
    }

    private static func wait<S: Syncing>(
        _ group: Group, _ slot: Slot, _ number: UInt64, _ caller: inout S, _ population: UInt32
    ) -> Outcome {
        while true {
            // acquiring: pairs with the releasing stores in `lead`
            let state = word(slot).atomic.pointee.load(ordering: .acquiring)
            if state == Word.done { break }
            if state == Word.leaderWanted,
                word(slot).atomic.pointee.compareExchange(
                    expected: Word.leaderWanted, desired: Word.running, ordering: .acquiring
                ).exchanged
            {
                let lock = lockWord(group)
                FutexLock.acquire(lock)
                slot.pointee.waiters -= 1
                FutexLock.release(lock)
                return lead(group, number, &caller, population)
            }
            iotrap_futex_wait(word(slot), state)
        }
        let lock = lockWord(group)
        FutexLock.acquire(lock)
        let result = slot.pointee.result
        let leader = slot.pointee.leader
        slot.pointee.waiters -= 1
        FutexLock.release(lock)
        if concernsLeaderOnly(result) { return Outcome(result: caller.sync(), led: true) }
        if result == 0 && leader != caller.descriptor {
            let own = caller.checkError()
            if concernsLeaderOnly(own) || own == -29 || own == -38 {  // ESPIPE, ENOSYS
                return Outcome(result: caller.sync(), led: true)
            }
            return Outcome(result: own, led: false)
        }
        return Outcome(result: result, led: false)
    }

    private static func lockWord(_ group: Group) -> UnsafeMutablePointer<FutexLock> {
        UnsafeMutableRawPointer(iotrap_group_lock(group)).assumingMemoryBound(to: FutexLock.self)
    }

    private static func state(_ slot: Slot) -> UInt32 {
        word(slot).atomic.pointee.load(ordering: .relaxed)
    }

    private static func word(_ slot: Slot) -> UnsafeMutablePointer<UInt32> {
        iotrap_group_word(slot)
    }
}
