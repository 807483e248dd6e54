from traction import activity, run, workflow


@activity
def greet(name: str) -> str:
    return f"Hello, {name}!"


@workflow
async def hello(name: str) -> str:
    return await greet(name)


if __name__ == "__main__":
    print(run(hello("world")))
