import Glibc

/// Memory for I/O, aligned as `O_DIRECT` asks for; has one owner at a time.
///
/// A buffer of an ``IOBufferPool`` goes back there when its owner lets go of it.
public struct IOBuffer: ~Copyable {
    /// Bytes it holds.
    public let capacity: Int
    /// How many of its bytes, from the first on, mean something: what the last read filled.
    public var count: Int
    let base: UnsafeMutableRawPointer
    let pool: IOBufferPool?
    /// Its number in the pool.
    let index: Int

    /// Zeroed memory of its own.
    /// - Parameters:
    ///   - capacity: bytes, rounded up to a multiple of the alignment
    ///   - alignment: bytes, a power of two; 4096 suits every file opened with `O_DIRECT`
    public init(capacity: Int, alignment: Int = 4096) {
        precondition(capacity > 0 && alignment > 0 && alignment & (alignment - 1) == 0)
        self.capacity = (capacity + alignment - 1) & ~(alignment - 1)
        base = .allocate(byteCount: self.capacity, alignment: alignment)
        memset(base, 0, self.capacity)
        count = 0
        pool = nil
        index = 0
    }

    init(base: UnsafeMutableRawPointer, capacity: Int, pool: IOBufferPool, index: Int) {
        self.base = base
        self.capacity = capacity
        self.pool = pool
        self.index = index
        count = 0
    }

    deinit {
        if let pool { pool.giveBack(index) } else { base.deallocate() }
    }

    /// The first `count` bytes.
    public var bytes: RawSpan {
        @_lifetime(borrow self)
        borrowing get {
            let all = UnsafeRawBufferPointer(start: base, count: count)
            return _overrideLifetime(all.bytes, borrowing: self)
        }
    }

    /// All of its memory, to be read into or filled; set ``count`` to what was filled.
    public var storage: MutableRawSpan {
        @_lifetime(&self)
        mutating get {
            let all = UnsafeMutableRawBufferPointer(start: base, count: capacity)
            return _overrideLifetime(all.mutableBytes, mutating: &self)
        }
    }

    /// Makes it hold a copy of bytes, as many as fit.
    public mutating func fill(from source: RawSpan) {
        count = min(source.byteCount, capacity)
        source.withUnsafeBytes { bytes in
            guard count > 0 else { return }
            base.copyMemory(from: bytes.baseAddress!, byteCount: count)
        }
    }
}
