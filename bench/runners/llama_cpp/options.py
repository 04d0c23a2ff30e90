"""What can be chosen of llama.cpp, each with the name that its own tools give it or nearly so."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

GPU_OPTIONS = ("gpu_layers", "split_mode", "main_gpu", "tensor_split", "offload_kqv")
"""Without a GPU they would be ignored: then they are refused where they are given."""


class Options(BaseModel):
    """Typed options of this runner; what is left out is llama.cpp's own default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    threads: int | None = Field(None, ge=1, le=512, description="CPU threads; default one for each usable core")
    threads_batch: int | None = Field(None, ge=1, le=512, description="of them for prompts; default the same number")
    batch: int = Field(2048, ge=32, description="most tokens that are submitted at once (n_batch)")
    ubatch: int = Field(512, ge=1, description="most tokens that are computed at once (n_ubatch)")
    flash_attention: Literal["auto", "on", "off"] = Field(
        "auto", description="auto: wherever all devices in use have a kernel for it"
    )
    gpu_layers: int | None = Field(None, ge=-1, description="layers on the GPUs; -1 is all, as without this option")
    split_mode: Literal["none", "layer", "row"] | None = Field(
        None, description="how a model is split over several GPUs; default by layers"
    )
    main_gpu: int | None = Field(
        None, ge=0, description="the GPU of the whole model (split_mode none) or of small tensors (row)"
    )
    tensor_split: tuple[float, ...] | None = Field(
        None, min_length=1, description="share of the model for each GPU, such as [3, 1]"
    )
    offload_kqv: bool | None = Field(None, description="keys, values and attention on the GPUs; default true")
    mmap: bool | None = Field(None, description="map the file instead of reading it; default by the device")
    mlock: bool = Field(False, description="keep the weights from being swapped out")
    repack: bool = Field(True, description="lay weights out anew for the CPU's kernels where there are such")
    library: str | None = Field(
        None, description="your own build of llama.cpp: its folder or libllama.so; default the wheel xllamacpp"
    )

    @field_validator("flash_attention", mode="before")
    @classmethod
    def _as_yaml_reads_it(cls, value: object) -> object:
        """`on` and `off` without quotes are true and false in YAML."""
        return ("on" if value else "off") if isinstance(value, bool) else value

    @field_validator("tensor_split", mode="before")
    @classmethod
    def _as_a_list(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _not_contradictory(self) -> "Options":
        """An option that would be ignored is refused: its number would stand under the wrong name."""
        if self.ubatch > self.batch:
            raise ValueError("ubatch is a part of batch and cannot be larger; raise batch too")
        if self.gpu_layers == 0:
            given = [name for name in GPU_OPTIONS[1:4] if getattr(self, name) is not None]
            if given:
                raise ValueError(f"{given[0]} does nothing without layers on a GPU; leave it or gpu_layers: 0 out")
        if self.split_mode == "none" and self.tensor_split is not None:
            raise ValueError("tensor_split does nothing with split_mode: none; use layer or row")
        if self.main_gpu is not None and self.split_mode not in ("none", "row"):
            raise ValueError("main_gpu does nothing where layers are split; add split_mode: none (or row)")
        if self.tensor_split is not None and (min(self.tensor_split) < 0 or sum(self.tensor_split) <= 0):
            raise ValueError("tensor_split wants shares of 0 or more that are not all 0")
        return self
