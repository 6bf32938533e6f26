import CIOTrap

/// The memory of a pool.
final class Slab {
    let memory: UnsafeMutableRawBufferPointer

    init(byteCount: Int, alignment: Int) {
        memory = .allocate(byteCount: byteCount, alignment: alignment)
        // Touched here, not by the first I/O.
        memory.initializeMemory(as: UInt8.self, repeating: 0)
    }

    deinit { memory.deallocate() }
}

/// Where a pool's memory is registered.
struct Registration: Sendable {
    /// Slots of each executor for the memory of pools.
    static let slotsMax = 64

    let loop: RingLoop
    let slot: UInt32

    /// True in the loop's own thread, where the registration can be used.
    var isHere: Bool { loop.isCurrent }
}

extension IOBuffer {
    var registration: Registration? { pool?.registration }
}

extension IOBufferPool {
    /// A pool whose memory the kernel holds for an executor, as long as that exists.
    ///
    /// Operations on the executor's thread with buffers of the pool are cheaper.
    /// - Throws: `.registerBuffers`, with `ENOMEM` beyond what RLIMIT_MEMLOCK allows, and `ENOBUFS`
    ///   when the executor has 64 pools.
    public static func registered(
        with executor: IOExecutor, capacity: Int, count: Int, alignment: Int = 4096
    ) async throws(IOError) -> IOBufferPool {
        let rounded = IOBufferPool.round(capacity, to: alignment)
        let slab = Slab(byteCount: rounded * count, alignment: alignment)
        let loop = executor.loop
        let slot = await withTaskExecutorPreference(executor) { await register(slab, loop) }
        guard slot >= 0 else {
            throw IOError(.registerBuffers, path: "", reason: .system(-slot))
        }
        return IOBufferPool(
            slab, capacity: rounded, count: count,
            registration: Registration(loop: loop, slot: UInt32(slot)))
    }

    /// In the loop's thread: a slot, or -errno.
    @concurrent private static func register(_ slab: Slab, _ loop: RingLoop) async -> Int32 {
        loop.register(slab)
    }
}
