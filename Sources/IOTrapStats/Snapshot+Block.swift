import CIOTrap

// Reading one `struct iotrap_stats_block` by offset: as Swift values its arrays would be tuples of
// a thousand elements.

extension Snapshot {
    /// Adds the numbers of one thread block of `SegmentHeader.blockBytes` bytes.
    mutating func add(block: UnsafeRawBufferPointer) {
        typealias Block = iotrap_stats_block
        var field = block.field(offsetOf(\Block.reasons))
        for index in reasons.indices {
            reasons[index] = saturatingSum(reasons[index], field.word(index))
        }
        field = block.field(offsetOf(\Block.operations))
        let operationLatency = block.field(offsetOf(\Block.operation_latency))
        for index in operations.indices {
            operations[index].add(field, operationLatency, at: index)
        }
        field = block.field(offsetOf(\Block.techniques))
        let techniqueLatency = block.field(offsetOf(\Block.technique_latency))
        for index in techniques.indices {
            techniques[index].add(field, techniqueLatency, at: index)
        }
        field = block.field(offsetOf(\Block.async))
        let flight = block.field(offsetOf(\Block.flight))
        for index in interfaces.indices {
            interfaces[index].add(field, flight, at: index)
        }
    }
}

extension OperationTotals {
    fileprivate mutating func add(_ counts: Field, _ histograms: Field, at index: Int) {
        typealias Counts = iotrap_stats_operation
        let record = counts.record(index, of: Counts.self)
        calls = saturatingSum(calls, record[\Counts.calls])
        bytes = saturatingSum(bytes, record[\Counts.bytes])
        errors = saturatingSum(errors, record[\Counts.errors])
        accelerated = saturatingSum(accelerated, record[\Counts.accelerated])
        latency.add(histograms.record(index, of: iotrap_stats_histogram.self))
    }
}

extension TechniqueTotals {
    fileprivate mutating func add(_ counts: Field, _ histograms: Field, at index: Int) {
        typealias Counts = iotrap_stats_technique
        let record = counts.record(index, of: Counts.self)
        calls = saturatingSum(calls, record[\Counts.calls])
        bytes = saturatingSum(bytes, record[\Counts.bytes])
        requests = saturatingSum(requests, record[\Counts.requests])
        batches = saturatingSum(batches, record[\Counts.batches])
        trials = saturatingSum(trials, record[\Counts.trials])
        engaged = saturatingSum(engaged, record[\Counts.engaged])
        dropped = saturatingSum(dropped, record[\Counts.dropped])
        errors = saturatingSum(errors, record[\Counts.errors])
        latency.add(histograms.record(index, of: iotrap_stats_histogram.self))
    }
}

extension AsyncTotals {
    fileprivate mutating func add(_ counts: Field, _ histograms: Field, at index: Int) {
        typealias Counts = iotrap_stats_async
        let record = counts.record(index, of: Counts.self)
        submitCalls = saturatingSum(submitCalls, record[\Counts.submit_calls])
        submitted = saturatingSum(submitted, record[\Counts.submitted])
        submitNanoseconds = saturatingSum(submitNanoseconds, record[\Counts.submit_ns])
        reapCalls = saturatingSum(reapCalls, record[\Counts.reap_calls])
        reaped = saturatingSum(reaped, record[\Counts.reaped])
        reapedInUser = saturatingSum(reapedInUser, record[\Counts.reaped_in_user])
        flightNanoseconds = saturatingSum(flightNanoseconds, record[\Counts.flight_ns])
        flightRequests = saturatingSum(flightRequests, record[\Counts.flight_requests])
        cancelled = saturatingSum(cancelled, record[\Counts.cancelled])
        errors = saturatingSum(errors, record[\Counts.errors])
        bytes = saturatingSum(bytes, record[\Counts.bytes])
        let routeWords = record.advanced(by: offsetOf(\Counts.routes))
        for route in routes.indices {
            routes[route] = saturatingSum(routes[route], routeWords.word(route))
        }
        let depthWords = record.advanced(by: offsetOf(\Counts.depths))
        for depth in depths.indices {
            depths[depth] = saturatingSum(depths[depth], depthWords.word(depth))
        }
        flight.add(histograms.record(index, of: iotrap_stats_histogram.self))
    }
}

extension Histogram {
    fileprivate mutating func add(_ record: Field) {
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

/// A place inside a block. Offsets come from the layout and fixed counts only, never from the file.
private struct Field {
    let block: UnsafeRawBufferPointer
    let offset: Int

    func advanced(by bytes: Int) -> Field { Field(block: block, offset: offset + bytes) }

    func word(_ index: Int) -> UInt64 {
        block.load(fromByteOffset: offset + index * 8, as: UInt64.self)
    }

    func record<Layout>(_ index: Int, of layout: Layout.Type) -> Field {
        advanced(by: index * MemoryLayout<Layout>.stride)
    }

    subscript<Layout>(member: KeyPath<Layout, UInt64>) -> UInt64 {
        block.load(fromByteOffset: offset + offsetOf(member), as: UInt64.self)
    }
}

extension UnsafeRawBufferPointer {
    fileprivate func field(_ offset: Int) -> Field { Field(block: self, offset: offset) }
}

/// The offset of a C structure's member, which always has one.
private func offsetOf<Layout>(_ member: PartialKeyPath<Layout>) -> Int {
    MemoryLayout<Layout>.offset(of: member)!
}
