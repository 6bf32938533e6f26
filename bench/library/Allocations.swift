import Glibc

// bench/count_malloc.c, when it is preloaded, counts calls of malloc and its kin.

private typealias Counter = @convention(c) () -> UInt64

private let counter: Counter? = dlsym(nil, "count_malloc_calls").map {
    unsafeBitCast($0, to: Counter.self)
}

nonisolated(unsafe) private var marked: UInt64 = 0

/// Begins to count.
func markAllocations() { marked = counter?() ?? 0 }

/// Prints the allocations of an operation since the mark, if they are counted.
func reportAllocations(per operations: Int) {
    guard let counter else { return }
    let calls = counter() - marked
    report("allocations", Double(calls))
    report("allocations_per_operation", Double(calls) / Double(max(operations, 1)))
}
