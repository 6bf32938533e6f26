import IOTrapStats

extension TraceReader.End {
    /// The word in tables and JSON.
    public var name: String {
        switch self {
        case .unread: "unread"
        case .complete: "complete"
        case .unfinished: "unfinished"
        case .torn: "torn"
        }
    }
}

extension TraceSummary {
    /// All of it as one JSON object; times in nanoseconds, sizes in bytes.
    public var json: String {
        var lines = [
            "\"path\": \(JSON.quoted(path))", "\"version\": 1", "\"end\": \"\(end.name)\"",
        ]
        if case .torn(let offset, let bytes) = end {
            lines.append("\"torn\": {\"offset\": \(offset), \"bytes\": \(bytes)}")
        }
        lines += [
            "\"ordered\": \(header.isOrdered)", "\"generated\": \(header.isGenerated)",
            "\"anonymised\": \(header.isAnonymised)", "\"process_id\": \(header.processID)",
            "\"started_realtime_ns\": \(header.startedRealtimeNanoseconds)",
            "\"file_bytes\": \(fileBytes)", "\"chunks\": \(totals.chunks)",
            "\"events\": \(totals.events)", "\"dropped_events\": \(totals.dropped)",
            "\"bytes_per_event\": \(bytesPerEvent)", "\"first_ns\": \(firstNanoseconds)",
            "\"duration_ns\": \(durationNanoseconds)", "\"threads\": \(threads.count)",
            "\"batches\": \(batches)", "\"dependent_events\": \(dependent)",
            "\"depth_max\": \(depthMax)", "\"metadata\": \(metadataJSON)",
            "\"operations\": \(operationsJSON)", "\"files\": \(filesJSON)",
        ]
        return "{\n  " + lines.joined(separator: ",\n  ") + "\n}\n"
    }

    private var metadataJSON: String {
        let pairs = metadata.sorted { $0.key < $1.key }
            .map { "\(JSON.quoted($0.key)): \(JSON.quoted($0.value))" }
        return "{" + pairs.joined(separator: ", ") + "}"
    }

    private var operationsJSON: String {
        let lines = TraceOperation.allCases.compactMap { operation -> String? in
            let sum = operations[Int(operation.rawValue)]
            if sum.events == 0 { return nil }
            return "\"\(operation.name)\": {\"events\": \(sum.events), \"bytes\": \(sum.bytes), "
                + "\"errors\": \(sum.errors), \"incomplete\": \(sum.incomplete), "
                + "\"latency_ns\": {\"p50\": \(sum.latency.percentile(0.5)), "
                + "\"p99\": \(sum.latency.percentile(0.99)), "
                + "\"max\": \(sum.latency.maxNanoseconds)}}"
        }
        return "{\n    " + lines.joined(separator: ",\n    ") + "\n  }"
    }

    private var filesJSON: String {
        let lines = files.enumerated().map { number, entry in
            let path = entry.file.map { JSON.quoted($0.originalPath) } ?? "null"
            let size = entry.file?.sizeBytes.map { "\($0)" } ?? "null"
            let flags = entry.file.map { "\($0.openFlags)" } ?? "null"
            return "{\"file\": \(number), \"path\": \(path), \"open_flags\": \(flags), "
                + "\"size_bytes\": \(size), \"events\": \(entry.use.events), "
                + "\"read_bytes\": \(entry.use.readBytes), "
                + "\"write_bytes\": \(entry.use.writeBytes), "
                + "\"reach_bytes\": \(entry.use.reachBytes)}"
        }
        return lines.isEmpty ? "[]" : "[\n    " + lines.joined(separator: ",\n    ") + "\n  ]"
    }
}
