"""A chat page, with Streamlit.

Uses the service that runs (FOUNDRY_ENDPOINT, or `foundry-rest serve`) and its default model
(FOUNDRY_MODEL). Needs `pip install streamlit`; then
`streamlit run examples/streamlit_app.py --browser.gatherUsageStats=false`.
"""

import streamlit as st

from foundry_rest import FoundryAPIClient, FoundryError


@st.cache_resource
def foundry() -> FoundryAPIClient:
    """Return one client for all sessions."""
    return FoundryAPIClient()


def show(message: dict[str, str]) -> None:
    """Draw one message of the conversation."""
    with st.chat_message(message["role"]):
        st.markdown(message["content"])


st.title("Foundry Local")
history: list[dict[str, str]] = st.session_state.setdefault("history", [])
for message in history:
    show(message)

if prompt := st.chat_input("Ask the model"):
    question = {"role": "user", "content": prompt}
    show(question)
    with st.chat_message("assistant"):
        try:
            text = str(st.write_stream(foundry().stream_complete([*history, question]).texts()))
            # Whole turns alone: a question that failed, or was stopped, is not asked again with the next one.
            history += [question, {"role": "assistant", "content": text}]
        except FoundryError as error:
            st.error(error.message)
            st.info(error.advice or "Ask again.")
