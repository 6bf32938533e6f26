import CIOTrap

// Reading one `struct iotrap_stats_block`.

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
