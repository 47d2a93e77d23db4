"""AnyInstruct: makes any-to-any multimodal instruction data, as a build.

Layers, each importing only those below it:

    cli ─▶ execution ─▶ work ─▶ contracts ─▶ values
                └─────▶ adapters ─┘
"""

__version__ = "0.1.0"
