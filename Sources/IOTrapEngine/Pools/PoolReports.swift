import CIOTrapEngine

// What the hooks report of files that may be in a pool. They call only while pools are in use.

/// See iotrap_pool.h.
@c @implementation
public func iotrap_pool_mapped(_ fd: Int32) {
    guard process.pointee.isActive, fd >= 0 else { return }
}

/// See iotrap_pool.h.
@c @implementation
public func iotrap_pool_locked(_ fd: Int32) {
    guard process.pointee.isActive, fd >= 0 else { return }
}

/// See iotrap_pool.h.
@c @implementation
public func iotrap_pool_resized(_ fd: Int32) {
    guard process.pointee.isActive, fd >= 0 else { return }
}

/// See iotrap_pool.h.
@c @implementation
public func iotrap_pool_resized_any() {
    guard process.pointee.isActive else { return }
}

/// See iotrap_pool.h.
@c @implementation
public func iotrap_pool_sync_all(_ fd: Int32) -> Int64 {
    guard process.pointee.isActive, fd >= 0 else { return 0 }
    return 0
}
