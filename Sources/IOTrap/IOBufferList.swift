import CIOTrap
import Glibc

/// Several buffers that one vectored operation fills or writes in a row.
public struct IOBufferList: ~Copyable {
    /// Buffers in it.
    public private(set) var count = 0
    /// Buffers that fit.
    public let capacity: Int
    private let buffers: UnsafeMutablePointer<IOBuffer>
    let vectors: UnsafeMutablePointer<iovec>

    /// An empty list.
    /// - Parameter capacity: buffers that fit, at most 1024 (IOV_MAX)
    public init(capacity: Int) {
        precondition((1...1024).contains(capacity), "a list holds 1 to 1024 buffers")
        self.capacity = capacity
        buffers = .allocate(capacity: capacity)
        vectors = .allocate(capacity: capacity)
    }

    deinit {
        buffers.deinitialize(count: count)
        buffers.deallocate()
        vectors.deallocate()
    }

    /// Puts a buffer behind the others.
    public mutating func append(_ buffer: consuming IOBuffer) {
        precondition(count < capacity, "the list is full")
        (buffers + count).initialize(to: buffer)
        count += 1
    }

    /// Takes the last buffer out; nil when the list is empty.
    public mutating func removeLast() -> IOBuffer? {
        guard count > 0 else { return nil }
        count -= 1
        return (buffers + count).move()
    }

    /// A buffer of the list.
    public subscript(index: Int) -> IOBuffer {
        _read {
            precondition(index >= 0 && index < count, "no such buffer")
            yield buffers[index]
        }
        _modify {
            precondition(index >= 0 && index < count, "no such buffer")
            yield &buffers[index]
        }
    }

    /// Describes all of the memory: its bytes.
    func prepareToRead() -> Int {
        for index in 0..<count {
            vectors[index] = iovec(
                iov_base: buffers[index].base, iov_len: buffers[index].capacity)
        }
        return total
    }

    /// Describes what the buffers hold, without the first bytes: the number of bytes left, and the
    /// first vector that has any.
    func prepareToWrite(skipping bytes: Int) -> (bytes: Int, first: Int) {
        var skipped = bytes
        var first = count
        var left = 0
        for index in 0..<count {
            let skip = min(skipped, buffers[index].count)
            skipped -= skip
            let length = buffers[index].count - skip
            vectors[index] = iovec(iov_base: buffers[index].base + skip, iov_len: length)
            left += length
            if length > 0 && first == count { first = index }
        }
        return (left, first)
    }

    /// Spreads what was read over the buffers' counts.
    mutating func noteRead(_ bytes: Int) {
        var left = bytes
        for index in 0..<count {
            buffers[index].count = min(left, buffers[index].capacity)
            left -= buffers[index].count
        }
    }

    private var total: Int { (0..<count).reduce(0) { $0 + vectors[$1].iov_len } }
}
