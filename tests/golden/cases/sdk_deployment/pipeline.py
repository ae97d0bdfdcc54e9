"""Plain SDK steps deploy our model: an endpoint of its own, and a component on a shared one."""

from sagemaker.mlops.workflow.endpoint_step import EndpointConfigStep, EndpointStep
from sagemaker.mlops.workflow.inference_component_step import InferenceComponentStep
from sagemaker.mlops.workflow.pipeline import Pipeline

from mlops_sm.builders import Context, create_model, framework_image


def pipeline(ctx: Context) -> Pipeline:
    model = create_model(
        ctx,
        "Model",
        image=framework_image(ctx, "sklearn", "1.2-1"),
        model_data="s3://golden-models/lending/model.tar.gz",
    )
    config = EndpointConfigStep(
        name="Config",
        step_args=ctx.session.create_endpoint_config(
            name="lending",
            production_variants=[
                {
                    "VariantName": "AllTraffic",
                    "ModelName": model.properties.ModelName,
                    "InitialInstanceCount": 1,
                    "InstanceType": "ml.m5.large",
                }
            ],
        ),
    )
    endpoint = EndpointStep(
        name="Deploy",
        step_args=ctx.session.create_endpoint(
            endpoint_name="lending", config_name=config.properties.EndpointConfigName
        ),
    )
    component = InferenceComponentStep(
        name="Component",
        step_args=ctx.session.create_inference_component(
            inference_component_name="lending",
            endpoint_name="shared",
            variant_name="AllTraffic",
            specification={
                "ModelName": model.properties.ModelName,
                "ComputeResourceRequirements": {"MinMemoryRequiredInMb": 1024, "NumberOfCpuCoresRequired": 1},
            },
            runtime_config={"CopyCount": 1},
        ),
    )
    return Pipeline(name="deployment", steps=[model, config, endpoint, component], sagemaker_session=ctx.session)
