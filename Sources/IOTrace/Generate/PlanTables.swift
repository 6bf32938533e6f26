/// What is worked out once of a part of a load: its tables, and numbers in the units of the loop.
/// Memory is freed by `deallocate`.
struct PlanTables {
    let numbers: UnsafePointer<LoadNumbers>
    /// The part that stands still in the critical phase; -1: none.
    let held: Int
    let mix: AliasTable
    let sizes: UnsafeMutablePointer<SizeFacts>
    let latencyNanoseconds: Double
    let leastLatency: UInt64
    /// Whether every write is durable and is followed by a commit.
    let commitsWrites: Bool

    private let zipf: AliasTable?
    private let ranks: UInt64
    private let blocksPerFile: UInt64
    private let blocksPerRank: UInt64
    /// A read has a draw below this, out of 2^32.
    private let readThreshold: UInt64
    private let readCall: TraceCall
    private let writeCall: TraceCall

    /// What follows from the size of a request.
    struct SizeFacts {
        let bytes: UInt64
        let transferNanoseconds: UInt64
        /// The last place where one fits into a file and into a superblock, in units of `align`.
        let lastPlace: UInt64
        let lastPlaceInSuperblock: UInt64
    }

    init(_ plan: LoadPlan, held: Int) {
        let copy = UnsafeMutablePointer<LoadNumbers>.allocate(capacity: 1)
        copy.initialize(to: plan.numbers)
        numbers = UnsafePointer(copy)
        self.held = held
        let weights = plan.sizes.map { size in
            plan.weighsBytes ? size.weight / Double(size.bytes) : size.weight
        }
        mix = AliasTable(weights: weights)
        sizes = .allocate(capacity: plan.sizes.count)
        for (index, size) in plan.sizes.enumerated() {
            sizes[index] = SizeFacts(
                bytes: size.bytes,
                transferNanoseconds: UInt64(
                    Double(size.bytes) * 1e9 / Double(plan.bandwidthBytes)),
                lastPlace: (plan.fileBytes - size.bytes) / plan.align,
                lastPlaceInSuperblock: (plan.superblockBytes - size.bytes) / plan.align)
        }
        // A third of the latency is always there.
        latencyNanoseconds = plan.latencyMicroseconds * 1000 * 2 / 3
        leastLatency = UInt64(plan.latencyMicroseconds * 1000 / 3)
        commitsWrites = plan.commits && plan.sync == .none
        readThreshold = UInt64(plan.readPercent / 100 * 0x1p32)
        switch plan.interface {
        case .libaio: (readCall, writeCall) = (.ioSubmit, .ioSubmit)
        case .pread: (readCall, writeCall) = (.pread, .pwrite)
        case .posixaio: (readCall, writeCall) = (.aioRead, .aioWrite)
        }
        blocksPerFile = max(1, plan.fileBytes / plan.align)
        let files = plan.sharesFiles ? plan.files : max(1, plan.files / plan.channels)
        let blocks = blocksPerFile * files
        var count: UInt64 = 1
        while count * 2 <= min(blocks, 16384) { count *= 2 }
        ranks = count
        blocksPerRank = blocks / count
        zipf = plan.order == .zipf ? AliasTable(zipf: plan.zipf, ranks: Int(count)) : nil
    }

    func deallocate() {
        numbers.deallocate()
        mix.deallocate()
        sizes.deallocate()
        zipf?.deallocate()
    }

    /// Chooses operation, file and offset of a request.
    @inline(__always)
    func place(
        _ event: inout TraceEvent, _ channel: inout Channel, _ size: SizeFacts
    ) {
        var isRead = readThreshold > 0
        if readThreshold > 0 && readThreshold < 1 << 32 {
            isRead = channel.random.next() >> 32 < readThreshold
        }
        event.operation = isRead ? .read : .write
        event.call = isRead ? readCall : writeCall
        let fileBytes = numbers.pointee.fileBytes
        let align = numbers.pointee.align
        switch numbers.pointee.order {
        case .sequential:
            if size.bytes > fileBytes &- channel.position {
                channel.position = 0
                let place = channel.currentFile &- channel.firstFile &+ 1
                channel.currentFile =
                    channel.firstFile &+ (place == channel.fileCount ? 0 : place)
            }
            event.offset = channel.position
            channel.position &+= size.bytes
        case .random:
            chooseFile(&channel)
            event.offset = channel.random.next(below: size.lastPlace &+ 1) &* align
        case .zipf:
            let rank = UInt64(zipf!.draw(&channel.random))
            // An odd factor permutes the powers of two: hot places lie apart.
            let region = rank &* 0x9e37_79b9_7f4a_7c15 & (ranks &- 1)
            let block = region &* blocksPerRank &+ channel.random.next(below: blocksPerRank)
            let file = block / blocksPerFile
            channel.currentFile = channel.firstFile &+ UInt32(file) % channel.fileCount
            event.offset = min(block &- file &* blocksPerFile, size.lastPlace) &* align
        case .pages:
            let bytes = numbers.pointee.superblockBytes
            if channel.superblockLeft == 0 {
                chooseFile(&channel)
                channel.superblock = channel.random.next(below: fileBytes / bytes) &* bytes
                channel.superblockLeft = 1 &+ channel.random.next(below: 32)
            }
            channel.superblockLeft &-= 1
            let place = channel.random.next(below: size.lastPlaceInSuperblock &+ 1)
            event.offset = channel.superblock &+ place &* align
        }
        event.file = channel.currentFile
    }

    @inline(__always)
    private func chooseFile(_ channel: inout Channel) {
        let count = UInt64(channel.fileCount)
        let place = count == 1 ? 0 : channel.random.next(below: count)
        channel.currentFile = channel.firstFile &+ UInt32(place)
    }
}
