// swift-tools-version: 6.3
// The ordinary build: the command, the statistics reader, and the engine as a normal module for
// unit tests and sanitizers. The two shared libraries compile the same engine sources in Embedded
// mode; the Makefile does that, because Embedded objects must never meet the Swift runtime.
import PackageDescription

let strict: [SwiftSetting] = [
    .treatAllWarnings(as: .error),
    .swiftLanguageMode(.v6),
]

let package = Package(
    name: "iotrap",
    products: [
        .executable(name: "iotrap", targets: ["iotrap"]),
        .library(name: "IOTrap", targets: ["IOTrap"]),
        .library(name: "IOTrapStats", targets: ["IOTrapStats"]),
        .library(name: "IOTrace", targets: ["IOTrace"]),
    ],
    targets: [
        .target(name: "CIOTrap"),
        .target(
            name: "CIOTrapEngine",
            dependencies: ["CIOTrap"],
            cSettings: [.define("_GNU_SOURCE")],
            linkerSettings: [.linkedLibrary(":liburing.a")]),
        .target(
            name: "IOTrapEngine",
            dependencies: ["CIOTrap", "CIOTrapEngine"],
            swiftSettings: strict),
        .target(
            name: "IOTrap",
            dependencies: ["IOTrapEngine", "CIOTrap", "CIOTrapEngine"],
            // Spans that are handed out are bound to the buffer that they look into.
            swiftSettings: strict + [.enableExperimentalFeature("Lifetimes")]),
        .target(name: "IOTrapStats", dependencies: ["CIOTrap"], swiftSettings: strict),
        .systemLibrary(name: "CZstd", providers: [.apt(["libzstd-dev"])]),
        .target(
            name: "IOTrace", dependencies: ["CIOTrap", "CZstd", "IOTrapStats"],
            swiftSettings: strict),
        .target(
            name: "CIOReplay",
            dependencies: ["CIOTrap"],
            cSettings: [.define("_GNU_SOURCE")],
            linkerSettings: [.linkedLibrary(":liburing.a")]),
        .target(
            name: "IOReplay",
            dependencies: ["IOTrace", "IOTrapStats", "CIOReplay", "CIOTrap"],
            swiftSettings: strict),
        .executableTarget(
            name: "iotrap",
            dependencies: ["IOTrapStats", "IOTrace", "IOReplay", "IOTrapEngine", "CIOTrap"],
            swiftSettings: strict),
        .executableTarget(
            name: "librarybench", dependencies: ["IOTrap", "CIOTrapEngine"],
            path: "bench/library", swiftSettings: strict),
        .testTarget(
            name: "IOTrapEngineTests",
            dependencies: ["IOTrapEngine", "CIOTrap", "CIOTrapEngine"],
            swiftSettings: strict),
        .testTarget(name: "ExampleTests", swiftSettings: strict),
        .testTarget(
            name: "IOTrapTests", dependencies: ["IOTrap", "CIOTrap"], swiftSettings: strict),
        .testTarget(
            name: "IOTrapStatsTests",
            dependencies: ["IOTrapStats", "CIOTrap"],
            swiftSettings: strict),
        .testTarget(
            name: "IOTraceTests", dependencies: ["IOTrace", "CIOTrap", "CZstd"],
            exclude: ["data"], swiftSettings: strict),
        .testTarget(
            name: "CommandTests", dependencies: ["iotrap", "IOTrapStats", "CIOTrap"],
            swiftSettings: strict),
        .testTarget(
            name: "DifferentialTests", dependencies: ["IOTrace"], swiftSettings: strict),
        .testTarget(name: "EndToEndTests", exclude: ["programs"], swiftSettings: strict),
        .testTarget(
            name: "ReplayTests",
            dependencies: ["IOReplay", "IOTrace", "IOTrapStats", "CIOReplay", "CIOTrap"],
            exclude: ["programs"],
            swiftSettings: strict),
        .testTarget(
            name: "RecordTests", dependencies: ["IOTrace", "CIOTrap"], exclude: ["programs"],
            swiftSettings: strict),
        .testTarget(name: "PoolTests", dependencies: ["IOTrapStats"], swiftSettings: strict),
        .testTarget(name: "LibraryTests", swiftSettings: strict),
        .testTarget(name: "StyleTests", swiftSettings: strict),
    ]
)

// Under the thread sanitizer the compiler (6.3.1) makes invalid code of the Swift library. What it
// rests on is in the engine.
if Context.environment["IOTRAP_SANITIZE"] == "thread" {
    let left: Set = ["IOTrap", "IOTrapTests", "librarybench"]
    package.targets.removeAll { left.contains($0.name) }
    package.products.removeAll { left.contains($0.name) }
}
