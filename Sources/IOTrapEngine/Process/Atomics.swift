import Synchronization

// Words that live in memory laid out by C, or that fork must be able to copy, are reached as
// pointers to plain integers; these give them atomic access. An Atomic has the size and layout of
// its value, and zeroed memory is a valid Atomic. The pointer is an immutable one: atomic
// operations borrow, and access through a mutable pointer would count as exclusive.

extension UnsafeMutablePointer where Pointee == UInt32 {
    /// The word as an atomic.
    @inline(__always)
    var atomic: UnsafePointer<Atomic<UInt32>> {
        UnsafeRawPointer(self).assumingMemoryBound(to: Atomic<UInt32>.self)
    }
}

extension UnsafeMutablePointer where Pointee == UInt64 {
    /// The word as an atomic.
    @inline(__always)
    var atomic: UnsafePointer<Atomic<UInt64>> {
        UnsafeRawPointer(self).assumingMemoryBound(to: Atomic<UInt64>.self)
    }
}

/// The address of a stored property of something reached through a pointer.
///
/// Only for memory that does not move (`pointer.pointee.field`): `pointee` is an addressor, so the
/// inout access is to the field itself and its address stays good afterwards.
@inline(__always)
func address<T>(of field: inout T) -> UnsafeMutablePointer<T> {
    withUnsafeMutablePointer(to: &field) { $0 }
}

/// The address of one element of an inline array reached through a pointer.
@inline(__always)
func address<let n: Int, T>(
    of array: inout InlineArray<n, T>, element: Int
) -> UnsafeMutablePointer<T> {
    UnsafeMutableRawPointer(address(of: &array)).assumingMemoryBound(to: T.self) + element
}
