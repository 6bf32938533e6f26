import CIOTrap

// Operations of several buffers, and of several steps.

extension IOQueue {
    /// Adds a read into the buffers of a list, one after the other; the list comes back with the
    /// completion, and the `count` of each buffer is set then.
    /// - Parameter tag: comes back as well
    /// - Throws: `.read`; `.queueFull` when ``isFull``. The buffers are given back then.
    public mutating func read(
        _ file: borrowing IOFile, into list: consuming IOBufferList, at offset: Int64,
        tag: UInt64 = 0
    ) throws(IOError) {
        let bytes = list.prepareToRead()
        try file.handle.checkVectors(.read, list, bytes, offset)
        var io = iotrap_io()
        iotrap_io_readv(&io, file.handle.file, list.vectors, UInt32(list.count), offset)
        try add(&io, .read, file.handle, nil, list: list, tag: tag)
    }

    /// Adds a write of what the buffers of a list hold, one after the other, in one call of the
    /// kernel's; ``IOCompletion/count()`` throws `.incomplete` when that took only a part.
    /// - Parameter tag: comes back as well
    /// - Throws: `.write`; `.queueFull` when ``isFull``. The buffers are given back then.
    public mutating func write(
        _ file: borrowing IOFile, _ list: consuming IOBufferList, at offset: Int64,
        tag: UInt64 = 0
    ) throws(IOError) {
        let (bytes, first) = list.prepareToWrite(skipping: 0)
        try file.handle.checkVectors(.write, list, bytes, offset)
        var io = iotrap_io()
        iotrap_io_writev(
            &io, file.handle.file, list.vectors + first, UInt32(list.count - first), offset)
        try add(&io, .write, file.handle, nil, list: list, expected: bytes, tag: tag)
    }

    /// Adds a write of what a buffer holds, and a sync that starts when all of it is written.
    ///
    /// The two have a place and a completion each, with the same tag: `.write` with the buffer,
    /// and `.sync`, without whose success nothing is certain. After a write that failed the sync
    /// ends with `.cancelled`.
    /// - Throws: `.write`; `.queueFull` without room for two. The buffer is given back then.
    public mutating func writeDurably(
        _ file: borrowing IOFile, _ buffer: consuming IOBuffer, at offset: Int64, tag: UInt64 = 0
    ) throws(IOError) {
        let address = buffer.base
        let length = buffer.count
        try file.handle.checkAlignment(.write, address, length, offset)
        var write = iotrap_io()
        iotrap_io_write(&write, file.handle.file, address, UInt64(length), offset)
        write.flags = UInt32(IOTRAP_IO_WHOLE)
        var sync = iotrap_io()
        iotrap_io_sync(&sync, file.handle.file, 1)
        try addPair(write, sync, file.handle, buffer, expected: length, tag: tag)
    }
}
