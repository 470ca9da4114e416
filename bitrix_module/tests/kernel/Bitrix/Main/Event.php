<?php

// Promises: a kernel event with parameters and results.
// Leans on: EventManager.
// Must never: be sent twice.

declare(strict_types=1);


namespace Bitrix\Main;

class Event
{
    /** @var list<EventResult> */
    private array $results = [];

    /** @param array<mixed> $parameters */
    public function __construct(private readonly string $moduleId, private readonly string $type, private readonly array $parameters = [])
    {
    }

    public function getModuleId()
    {
        return $this->moduleId;
    }

    public function getEventType()
    {
        return $this->type;
    }

    public function getParameters()
    {
        return $this->parameters;
    }

    public function addResult(EventResult $result)
    {
        $this->results[] = $result;
    }

    public function getResults()
    {
        return $this->results;
    }

    public function send($sender = null)
    {
        EventManager::getInstance()->send($this);
    }
}
