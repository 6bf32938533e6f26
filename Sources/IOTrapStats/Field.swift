import CIOTrap

// Reading structures of iotrap_stats.h by offset: as Swift values their arrays would be tuples of a
// thousand elements.

extension Histogram {
    /// Adds the numbers of a `struct iotrap_stats_histogram`.
    mutating func add(_ record: Field) {
        typealias Layout = iotrap_stats_histogram
        count = saturatingSum(count, record[\Layout.count])
        sumNanoseconds = saturatingSum(sumNanoseconds, record[\Layout.sum_ns])
        maxNanoseconds = max(maxNanoseconds, record[\Layout.max_ns])
        let start = record.advanced(by: offsetOf(\Layout.buckets))
        for index in 0..<Self.bucketCount {
            let weight = start.word(index)
            if weight > 0 { add(weight, toBucket: index) }
        }
    }
}

/// A place inside a block or record. Offsets come from the layout and fixed counts only, never from
/// the file.
struct Field {
    let block: UnsafeRawBufferPointer
    let offset: Int

    /// The place so many bytes on.
    func advanced(by bytes: Int) -> Field { Field(block: block, offset: offset + bytes) }

    /// One of the 64-bit words from here on.
    func word(_ index: Int) -> UInt64 {
        block.load(fromByteOffset: offset + index * 8, as: UInt64.self)
    }

    /// One of the structures from here on.
    func record<Layout>(_ index: Int, of layout: Layout.Type) -> Field {
        advanced(by: index * MemoryLayout<Layout>.stride)
    }

    /// A member of the structure that is here.
    subscript<Layout>(member: KeyPath<Layout, UInt64>) -> UInt64 {
        block.load(fromByteOffset: offset + offsetOf(member), as: UInt64.self)
    }
}

extension UnsafeRawBufferPointer {
    /// The place at an offset.
    func field(_ offset: Int) -> Field { Field(block: self, offset: offset) }
}

/// The offset of a C structure's member, which always has one.
func offsetOf<Layout>(_ member: PartialKeyPath<Layout>) -> Int {
    MemoryLayout<Layout>.offset(of: member)!
}
