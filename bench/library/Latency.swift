import CIOTrapEngine
import Glibc
import IOTrap

/// Single 4K reads at random places, one after the other: how long each takes.
struct Latency {
    private let path: String
    private let isDirect: Bool
    private static let samplesMax = 4_000_000

    init(_ path: String, isDirect: Bool) {
        self.path = path
        self.isDirect = isDirect
    }

    private var options: IOFile.Options { isDirect ? [.direct] : [] }

    /// A ring of io_uring, with nothing around it.
    func runRing(_ milliseconds: Int) throws {
        let file = try IOFile.open(path, options: options)
        let blocks = UInt64(try file.size() / 4096)
        var error: Int32 = 0
        guard let ring = iotrap_ring_create(1, &error) else {
            throw IOError(.queue, path: "", reason: .system(-error))
        }
        defer { iotrap_ring_destroy(ring) }
        let memory = UnsafeMutableRawPointer.allocate(byteCount: 4096, alignment: 4096)
        defer { memory.deallocate() }
        var samples = Samples(milliseconds)
        var random = RandomNumbers(seed: 1)
        while samples.goOn {
            let place = Int64(random.next() % blocks) * 4096
            let start = iotrap_clock()
            iotrap_ring_queue(
                ring, IOTRAP_REQUEST_READ.rawValue, file.descriptor, memory, 4096, place, 1)
            iotrap_ring_submit_and_wait(ring)
            var tag: UInt64 = 0
            var result: Int32 = 0
            iotrap_ring_reap(ring, &tag, &result)
            samples.add(iotrap_clock() - start)
            precondition(result == 4096)
        }
        samples.report()
    }

    /// A task on an executor.
    func runTask(_ milliseconds: Int) async throws {
        let executor = try IOExecutor()
        let path = path
        let options = options
        try await withTaskExecutorPreference(executor) {
            let file = try await IOFile.open(path, options: options)
            let blocks = UInt64(try file.size() / 4096)
            var buffer = IOBuffer(capacity: 4096)
            var samples = Samples(milliseconds)
            var random = RandomNumbers(seed: 1)
            markAllocations()
            while samples.goOn {
                let place = Int64(random.next() % blocks) * 4096
                let start = iotrap_clock()
                let count = try await file.read(into: &buffer, at: place)
                samples.add(iotrap_clock() - start)
                precondition(count == 4096)
            }
            reportAllocations(per: samples.count)
            samples.report()
        }
    }
}

/// Nanoseconds of each operation within a time.
struct Samples {
    private var values: [UInt32] = []
    private let end: UInt64
    private(set) var goOn = true

    var count: Int { values.count }

    init(_ milliseconds: Int) {
        values.reserveCapacity(4_000_000)
        end = iotrap_clock() + UInt64(milliseconds) * 1_000_000
    }

    mutating func add(_ nanoseconds: UInt64) {
        values.append(UInt32(clamping: nanoseconds))
        if values.count % 16 == 0 { goOn = iotrap_clock() < end && values.count < 3_999_000 }
    }

    func report() {
        let sorted = values.sorted()
        line("median_nanoseconds", Double(sorted[sorted.count / 2]))
        line("percentile99_nanoseconds", Double(sorted[sorted.count * 99 / 100]))
    }

    private func line(_ name: String, _ value: Double) { print(name, value) }
}
