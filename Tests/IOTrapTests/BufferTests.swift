import IOTrap
import Testing

@Suite struct BufferTests {
    @Test func capacityIsRoundedUp() {
        var buffer = IOBuffer(capacity: 5000)
        #expect(buffer.capacity == 8192 && buffer.count == 0)
        var storage = buffer.storage
        let address = storage.withUnsafeMutableBytes { UInt(bitPattern: $0.baseAddress) }
        #expect(address % 4096 == 0)
        buffer.fill(from: ([1, 2] as [UInt8]).span.bytes)
        #expect(buffer.count == 2 && buffer.bytes.byteCount == 2)
        #expect(buffer.storage.byteCount == 8192)
    }

    @Test func poolsHandOutEachBufferOnce() throws {
        let pool = IOBufferPool(capacity: 100, count: 3, alignment: 64)
        #expect(pool.capacity == 128)
        do {
            let first = try pool.take()
            let second = try pool.take()
            let third = try pool.take()
            #expect(
                failure { () throws(IOError) in try pool.take() }?.reason == .poolEmpty(count: 3))
            #expect(first.capacity + second.capacity + third.capacity == 3 * 128)
        }
        let again = try pool.take()
        #expect(again.count == 0)
    }

    @Test func waitingForABuffer() async throws {
        let pool = IOBufferPool(capacity: 64, count: 2, alignment: 64)
        let total = await withTaskGroup(of: Int.self) { group in
            for task in 0..<100 {
                group.addTask {
                    var buffer = await pool.nextBuffer()
                    buffer.fill(from: [UInt8(task)].span.bytes)
                    await Task.yield()
                    return Int(buffer.bytes.unsafeLoad(as: UInt8.self))
                }
            }
            return await group.reduce(0, +)
        }
        #expect(total == 4950)
    }
}
