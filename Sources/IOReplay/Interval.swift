import Glibc

/// A ratio of two means with the interval that holds the true one with 95 % probability.
package struct RatioInterval: Equatable, Sendable {
    /// The ratio of the geometric means.
    package let ratio: Double
    /// Ends of the interval; nil with fewer than two runs on a side.
    package let low: Double?
    /// Its upper end.
    package let high: Double?

    /// Whether the interval leaves no doubt that there is a difference; nil if nobody can say.
    package var isDifferent: Bool? {
        guard let low, let high else { return nil }
        return low > 1 || high < 1
    }

    /// Compares measurements of two sides, base first: Welch's interval of the difference of the
    /// logarithms. Nil where a value is not above 0.
    package init?(base: [Double], other: [Double]) {
        guard !base.isEmpty, !other.isEmpty, (base + other).allSatisfy({ $0 > 0 && $0.isFinite })
        else { return nil }
        let a = Moments(base.map { log($0) })
        let b = Moments(other.map { log($0) })
        let difference = b.mean - a.mean
        ratio = exp(difference)
        guard base.count > 1, other.count > 1 else {
            low = nil
            high = nil
            return
        }
        let va = a.variance / Double(base.count)
        let vb = b.variance / Double(other.count)
        let sum = va + vb
        // Welch and Satterthwaite.
        let divisor = va * va / Double(base.count - 1) + vb * vb / Double(other.count - 1)
        let freedom = divisor > 0 ? sum * sum / divisor : Double(base.count + other.count - 2)
        let width = Student.quantile975(freedom: freedom) * sum.squareRoot()
        low = exp(difference - width)
        high = exp(difference + width)
    }
}

/// Mean and variance of a sample.
struct Moments {
    let mean: Double
    /// Of the population, estimated; 0 for one value.
    let variance: Double

    init(_ values: [Double]) {
        let mean = values.reduce(0, +) / Double(values.count)
        self.mean = mean
        let squares = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
        variance = values.count > 1 ? squares / Double(values.count - 1) : 0
    }
}

/// Student's t distribution.
enum Student {
    /// The value that 97.5 % lie below. Freedom is rounded down, which widens intervals.
    static func quantile975(freedom: Double) -> Double {
        let table = [
            12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179,
            2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064,
            2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
        ]
        let whole = Int(min(freedom, 1000))
        if whole <= table.count { return table[max(1, whole) - 1] }
        return whole < 60 ? 2.042 : whole < 120 ? 2.000 : 1.980
    }
}
