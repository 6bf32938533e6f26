/// Random numbers that are the same on every machine: xoshiro256++, whose state comes from a seed
/// and a number of the sequence.
struct RandomNumbers {
    private var a: UInt64
    private var b: UInt64
    private var c: UInt64
    private var d: UInt64

    init(seed: UInt64, sequence: UInt64) {
        // SplitMix64, so that neighbouring seeds have nothing in common.
        var state = seed ^ (sequence &* 0xd134_2543_de82_ef95)
        func split() -> UInt64 {
            state &+= 0x9e37_79b9_7f4a_7c15
            var mixed = (state ^ (state >> 30)) &* 0xbf58_476d_1ce4_e5b9
            mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
            return mixed ^ (mixed >> 31)
        }
        a = split()
        b = split()
        c = split()
        d = split()
    }

    /// All 64 bits.
    @inline(__always)
    mutating func next() -> UInt64 {
        let sum = a &+ d
        let result = (sum << 23 | sum >> 41) &+ a
        let shifted = b << 17
        c ^= a
        d ^= b
        b ^= c
        a ^= d
        c ^= shifted
        d = d << 45 | d >> 19
        return result
    }

    /// Evenly from 0 to below a bound; 0 for a bound of 0.
    @inline(__always)
    mutating func next(below bound: UInt64) -> UInt64 {
        next().multipliedFullWidth(by: bound).high
    }

    /// Evenly between two numbers, both included.
    mutating func next(in range: ClosedRange<UInt64>) -> UInt64 {
        range.lowerBound + next(below: range.upperBound - range.lowerBound + 1)
    }

    /// Evenly from 0 to below 1.
    mutating func nextUnit() -> Double { Double(next() >> 11) * 0x1p-53 }
}

/// Quantiles of the exponential distribution with mean 1: a draw is one look at a table.
enum Exponential {
    private static let count = 4096

    private static let quantiles: [Float] = (0..<count).map { index in
        Float(-Portable.log((Double(index) + 0.5) / Double(count)))
    }

    /// A copy of the table for one generator, to be freed by its owner.
    static func makeTable() -> UnsafeMutablePointer<Float> {
        let table = UnsafeMutablePointer<Float>.allocate(capacity: count)
        table.initialize(from: quantiles, count: count)
        return table
    }

    /// A draw with the given mean.
    @inline(__always)
    static func draw(
        _ table: UnsafeMutablePointer<Float>, _ random: inout RandomNumbers, mean: Double
    ) -> Double {
        Double(table[Int(random.next() >> 52)]) * mean
    }
}

/// Functions of the C library that may differ in the last bit between machines, from operations
/// that IEEE 754 defines to the last bit.
enum Portable {
    /// The natural logarithm of a positive, finite number, to about 1e-15.
    static func log(_ value: Double) -> Double {
        var exponent = Double(value.exponent)
        var significand = value.significand
        if significand > 1.4142135623730951 {
            significand /= 2
            exponent += 1
        }
        // log m = 2 artanh((m - 1) / (m + 1)), and |m - 1| / (m + 1) is below 0.172.
        let ratio = (significand - 1) / (significand + 1)
        let square = ratio * ratio
        var sum = 0.0
        for power in stride(from: 25.0, through: 1, by: -2) { sum = sum * square + 1 / power }
        return 2 * ratio * sum + exponent * 0.6931471805599453
    }

    /// e to the power of a number between -700 and 700, to about 1e-14.
    static func exp(_ value: Double) -> Double {
        let halvings = (value / 0.6931471805599453).rounded()
        let rest = value - halvings * 0.6931471805599453
        var sum = 1.0
        for divisor in stride(from: 20.0, through: 1, by: -1) { sum = 1 + sum * rest / divisor }
        return sum * Double(sign: .plus, exponent: Int(halvings), significand: 1)
    }
}

/// Draws an index by given weights in constant time (Walker's alias method). Memory is freed by
/// `deallocate`.
struct AliasTable {
    /// In one word, so that a draw touches one cache line.
    private struct Entry {
        /// Below this, out of 2^32 - 1, the draw is the entry itself.
        var threshold = UInt32.max
        var alias: UInt32
    }

    let count: Int
    private let entries: UnsafeMutablePointer<Entry>

    /// At least one weight, none below 0, their sum above 0.
    init(weights: [Double]) {
        count = weights.count
        entries = .allocate(capacity: count)
        let sum = weights.reduce(0, +)
        var shares = weights.map { $0 / sum * Double(weights.count) }
        var small = shares.indices.filter { shares[$0] < 1 }
        var large = shares.indices.filter { shares[$0] >= 1 }
        for index in 0..<count { entries[index] = Entry(alias: UInt32(index)) }
        while let low = small.popLast(), let high = large.last {
            entries[low].threshold = UInt32(max(0, shares[low]) * 0x1p32)
            entries[low].alias = UInt32(high)
            shares[high] -= 1 - shares[low]
            if shares[high] < 1 {
                large.removeLast()
                small.append(high)
            }
        }
    }

    /// Zipf's law over ranks: the weight of rank k is k to the power of minus the exponent.
    init(zipf exponent: Double, ranks: Int) {
        self.init(
            weights: (1...ranks).map { Portable.exp(-exponent * Portable.log(Double($0))) })
    }

    func deallocate() {
        entries.deallocate()
    }

    @inline(__always)
    func draw(_ random: inout RandomNumbers) -> Int {
        let (index, fraction) = random.next().multipliedFullWidth(by: UInt64(count))
        let entry = entries[Int(index)]
        let isOwn = UInt32(truncatingIfNeeded: fraction >> 32) < entry.threshold
        return isOwn ? Int(index) : Int(entry.alias)
    }
}
