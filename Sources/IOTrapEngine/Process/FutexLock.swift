import CIOTrapEngine
import Synchronization

/// A lock of one word that works in zeroed memory, allocates nothing and can simply be zeroed in a
/// forked child. Held for a few instructions only, with signals blocked: a handler that wanted it
/// on the same thread would wait for ever.
struct FutexLock {
    /// 0 free, 1 held, 2 held with waiters.
    private var word: UInt32 = 0

    /// Takes the lock at `address`.
    static func acquire(_ address: UnsafeMutablePointer<FutexLock>) {
        let word = pointer(address)
        for _ in 0..<64 {
            // acquiring: pairs with the releasing store of `release`
            if word.atomic.pointee.compareExchange(
                expected: 0, desired: 1, ordering: .acquiring
            ).exchanged {
                return
            }
        }
        while word.atomic.pointee.exchange(2, ordering: .acquiring) != 0 {
            iotrap_futex_wait(word, 2)
        }
    }

    /// Takes the lock if it is free.
    static func tryAcquire(_ address: UnsafeMutablePointer<FutexLock>) -> Bool {
        pointer(address).atomic.pointee.compareExchange(
            expected: 0, desired: 1, ordering: .acquiring
        ).exchanged
    }

    /// Gives the lock back and wakes one waiter.
    static func release(_ address: UnsafeMutablePointer<FutexLock>) {
        let word = pointer(address)
        if word.atomic.pointee.exchange(0, ordering: .releasing) == 2 {
            iotrap_futex_wake(word, 1)
        }
    }

    private static func pointer(
        _ address: UnsafeMutablePointer<FutexLock>
    ) -> UnsafeMutablePointer<UInt32> {
        UnsafeMutableRawPointer(address).assumingMemoryBound(to: UInt32.self)
    }
}
